/**
 * Groups for processes that run already.
 *
 * @module
 */

import { CgroupError, messageOf } from "../errors.ts";
import type { CgroupHost } from "./host.ts";
import type { GroupPlan, GroupWrite } from "./plan.ts";
import { groupPids, removeGroups } from "./remove.ts";
import { hasErrno, isGone } from "./usage.ts";

// A process that forks and ends may be missed by one look, but not by two.
const CLEAN_LOOKS = 2;
const PATIENCE_MS = 5000;

function readIfThere(file: string): string {
  try {
    return Deno.readTextFileSync(file);
  } catch (error) {
    if (isGone(error) || hasErrno(error, "ESRCH")) return "";
    throw error;
  }
}

/** Writes a value to a file of a group. One that is missing and optional is passed over. */
export function writeSetting({ file, value, optional }: GroupWrite): void {
  try {
    Deno.writeTextFileSync(file, value, { create: false });
  } catch (error) {
    if (!optional || !(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function failed(what: string, path: string, error: unknown): CgroupError {
  return new CgroupError(`Cannot ${what} control group ${path}: ${messageOf(error)}`, {
    code: "group-failed",
    facts: { path, ...(error instanceof Error && "code" in error ? { errno: error.code } : {}) },
    cause: error,
  });
}

function make({ path, enable, writes }: GroupPlan): void {
  try {
    enable.forEach(writeSetting);
    try {
      Deno.mkdirSync(path);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
    writes.forEach(writeSetting);
  } catch (error) {
    throw failed("make", path, error);
  }
}

/** The name of its hierarchy as `/proc/PID/cgroup` has it. */
function labelOf({ version, hierarchy }: GroupPlan): string {
  return version === 2 ? "" : hierarchy;
}

/** The path of a process's group in each hierarchy; of one that has ended although its threads go on, theirs. */
function placesOf(pid: number): ReadonlyMap<string, string> | undefined {
  const state = /\) (\w)/.exec(readIfThere(`/proc/${pid}/stat`))?.[1];
  if (state === undefined) return undefined;
  const ended = state === "Z" || state === "X";
  const thread = ended ? otherThread(pid) : String(pid);
  const text = thread === undefined ? "" : readIfThere(`/proc/${pid}/task/${thread}/cgroup`);
  const lines = text.split("\n").flatMap((line) => {
    const [, label = "", path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    return path === undefined ? [] : [[label, path] as const];
  });
  return lines.length > 0 ? new Map(lines) : undefined;
}

function otherThread(pid: number): string | undefined {
  try {
    return [...Deno.readDirSync(`/proc/${pid}/task`)].map(({ name }) => name).find((name) => name !== String(pid));
  } catch {
    return undefined;
  }
}

function isInside(places: ReadonlyMap<string, string>, group: GroupPlan): boolean {
  const name = group.path.slice(group.path.lastIndexOf("/") + 1);
  return places.get(labelOf(group))?.split("/").includes(name) ?? false;
}

function join(path: string, pid: number): void {
  try {
    Deno.writeTextFileSync(`${path}/cgroup.procs`, String(pid), { create: false });
  } catch (error) {
    if (!hasErrno(error, "ESRCH")) throw failed(`move process ${pid} into`, path, error);
  }
}

/** Moves processes until none is found outside. What they fork meanwhile is inside, or is found by another look. */
function gather(groups: readonly GroupPlan[], find: () => Iterable<number>): void {
  const deadline = performance.now() + PATIENCE_MS;
  for (let clean = 0; clean < CLEAN_LOOKS; clean++) {
    for (const pid of find()) {
      const places = placesOf(pid);
      const missing = places ? groups.filter((group) => !isInside(places, group)) : [];
      if (missing.length === 0) continue;
      if (performance.now() > deadline) {
        const paths = groups.map(({ path }) => path);
        throw new CgroupError(`Processes keep escaping from control group ${paths.join(", ")}`, {
          code: "group-escaped",
          facts: { paths, pid },
          hint: "The container forks too quickly; try again, or end it.",
        });
      }
      missing.forEach(({ path }) => join(path, pid));
      clean = -1;
    }
  }
}

/** Where a process of the container was in each hierarchy, as absolute paths. */
function originsOf(host: CgroupHost, groups: readonly GroupPlan[], pid: number): Map<string, string> {
  const places = placesOf(pid);
  return new Map(groups.flatMap((group) => {
    const mount = host.hierarchies.find(({ name }) => name === group.hierarchy)?.mount;
    const place = places?.get(labelOf(group));
    return mount === undefined || place === undefined ? [] : [[group.path, `${mount}${place}`] as const];
  }));
}

function giveBack(paths: readonly string[], origins: ReadonlyMap<string, string>): void {
  for (const path of paths) {
    const origin = origins.get(path);
    if (origin !== undefined) groupPids(path).forEach((pid) => join(origin, pid));
  }
  removeGroups(paths);
}

/**
 * Makes groups and moves running processes into them, or does nothing. What they fork later is born inside.
 *
 * @param first A process that is to be moved; if something fails, all go back to where it was.
 * @param find Finds all processes that are to be moved. Called again and again, until none is outside.
 * @throws {CgroupError} `group-failed`; `group-escaped` if after five seconds there are still processes outside.
 */
export function adopt(
  host: CgroupHost,
  groups: readonly GroupPlan[],
  first: number,
  find: () => Iterable<number>,
): void {
  const origins = originsOf(host, groups, first);
  try {
    groups.forEach(make);
    gather(groups, find);
  } catch (error) {
    try {
      giveBack(groups.map(({ path }) => path), origins);
    } catch {
      // The first error is the one to tell; a group that stays is removed with the container.
    }
    throw error;
  }
}
