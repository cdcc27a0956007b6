/**
 * Containers with a damaged record or damaged ownership marks: recovers enough to kill and remove them.
 *
 * @module
 */

import { AT_FDCWD, statusAt } from "../../../ffi/fs/fs.ts";
import { isFolder, readSmallFile } from "../../../ffi/fs/paths.ts";
import { thisHost } from "../../cgroup/host.ts";
import { groupName } from "../../cgroup/plan.ts";
import { isoTime } from "../../host/clock.ts";
import { ContainerError } from "../../errors.ts";
import { isLocked } from "./owner_locks.ts";
import { findMonitors, firstOf, parentOf } from "./monitors.ts";
import { findContainer, holderOf, nameOf } from "./names.ts";
import { type ContainerRecord, isRunning, type Ownership, readRecord } from "./record.ts";
import { identifyProcess, isAlive } from "../../host/process_identity.ts";
import { readOwnership, replaceMarks, withMarks } from "./ownership.ts";
import { namesIn } from "../../host/sample.ts";
import { requireVisibleOwner } from "./errors.ts";

/** Returns a container's existing control groups: those that a process of it is in, and the default ones. */
export function groupsOf(id: string, pid: number | undefined): string[] {
  const { hierarchies } = thisHost(), name = groupName(id);
  const lines = pid === undefined ? [] : (readSmallFile(`/proc/${pid}/cgroup`) ?? "").split("\n");
  const inside = lines.flatMap((line) => {
    const [, hierarchy = "", path = ""] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    const parts = path.split("/"), depth = parts.indexOf(name);
    const mount = hierarchies.find((one) => one.name === (hierarchy || "unified"))?.mount;
    return depth < 0 || mount === undefined ? [] : [mount + parts.slice(0, depth + 1).join("/")];
  });
  const usual = hierarchies.map(({ mount }) => `${mount}/${name}`);
  return [...new Set([...inside, ...usual])].filter(isFolder);
}

function timeOf(folder: string): string {
  try {
    return isoTime(Number(statusAt(AT_FDCWD, folder).mtime / 1_000_000n));
  } catch {
    return isoTime(0);
  }
}

/** Lists the ids of containers that have ownership marks. */
export function liveIds(containers: string): string[] {
  const ids = namesIn(`${containers}/.live`).flatMap((name) => /^([0-9a-f]{12})(\.process)?$/.exec(name)?.[1] ?? []);
  return [...new Set(ids)];
}

/** Lists the ids of containers with damaged ownership marks. */
export function damagedMarks(containers: string): string[] {
  return liveIds(containers).filter((id) => readOwnership(containers, id)?.damaged);
}

/** Creates a record that stands in for a damaged one. */
export function standIn(containers: string, id: string): ContainerRecord {
  const name = nameOf(containers, id), process = readOwnership(containers, id)?.process;
  return {
    version: 1,
    id,
    ...(name === undefined ? {} : { name }),
    image: "",
    lower: [],
    command: ["?"],
    options: {},
    created: timeOf(`${containers}/${id}`),
    keep: true,
    cgroups: groupsOf(id, process && isAlive(process) ? process.pid : undefined),
  };
}

/** Reads a container's record. Returns `otherwise` if there is none or it is damaged. */
export function readOr(containers: string, id: string, otherwise: ContainerRecord): ContainerRecord {
  try {
    return readRecord(`${containers}/${id}`) ?? otherwise;
  } catch (error) {
    if (error instanceof ContainerError && error.code === "bad-record") return otherwise;
    throw error;
  }
}

/** Returns whether a container without a record runs. */
function runsUnrecorded(containers: string, id: string): boolean {
  const ownership = readOwnership(containers, id);
  return ownership !== undefined && (ownership.damaged === true || isRunning(ownership));
}

/**
 * Finds a container like `findContainer`, including one whose record is damaged, or missing while it runs.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`.
 */
export function findEvenDamaged(containers: string, query: string): { record: ContainerRecord; damaged: boolean } {
  try {
    return { record: findContainer(containers, query), damaged: false };
  } catch (error) {
    if (!(error instanceof ContainerError)) throw error;
    if (error.code === "bad-record") return { record: standIn(containers, String(error.facts.id)), damaged: true };
    const id = /^[0-9a-f]{12}$/.test(query) ? query : holderOf(containers, query);
    if (error.code !== "container-not-found" || id === undefined || !runsUnrecorded(containers, id)) throw error;
    return { record: standIn(containers, id), damaged: true };
  }
}

/**
 * Repairs damaged ownership marks of a container: its monitor is found by its open descriptors, its first process as the
 * monitor's child. Marks without an owner are removed. Returns the ownership.
 *
 * @throws {ContainerError} `container-damaged` if its owner is alive and cannot be found.
 */
export function mendMarks(containers: string, id: string): Ownership | undefined {
  const found = readOwnership(containers, id);
  if (!found?.damaged) return found;
  return withMarks(containers, () => {
    const monitor = findMonitors().find(({ folder }) => folder === `${containers}/${id}`)?.identity;
    const marked = found.process && isAlive(found.process) ? found.process : undefined;
    const process = marked ?? (monitor && firstOf(monitor.pid));
    const owner = monitor ?? (process && identifyProcess(parentOf(process.pid)));
    if (!owner && isLocked(containers, id, "container")) requireVisibleOwner(containers, id, found);
    replaceMarks(containers, id, owner, process);
    return readOwnership(containers, id);
  });
}
