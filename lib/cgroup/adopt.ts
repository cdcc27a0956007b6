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

const PATIENCE_MS = 5000;

/**
 * Hands every process that is to be moved to `move`, which says whether it had to be moved, until all are; false if that
 * takes too long.
 */
export type ForAll = (move: (pid: number) => boolean, timeoutMs: number) => boolean;

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

function gather(groups: readonly GroupPlan[], forAll: ForAll): void {
  const done = forAll((pid) => {
    const places = placesOf(pid);
    const missing = places ? groups.filter((group) => !isInside(places, group)) : [];
    missing.forEach(({ path }) => join(path, pid));
    return missing.length > 0;
  }, PATIENCE_MS);
  if (done) return;
  const paths = groups.map(({ path }) => path);
  throw new CgroupError(`Processes keep escaping from control group ${paths.join(", ")}`, {
    code: "group-escaped",
    facts: { paths },
    hint: "The container forks too quickly; try again, or end it.",
  });
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
 * @param forAll Finds the processes that are to be moved.
 * @throws {CgroupError} `group-failed`; `group-escaped` if after five seconds there are still processes outside.
 */
export function adopt(
  host: CgroupHost,
  groups: readonly GroupPlan[],
  first: number,
  forAll: ForAll,
): void {
  const origins = originsOf(host, groups, first);
  try {
    groups.forEach(make);
    gather(groups, forAll);
  } catch (error) {
    try {
      giveBack(groups.map(({ path }) => path), origins);
    } catch {
      // The first error is the one to tell; a group that stays is removed with the container.
    }
    throw error;
  }
}
