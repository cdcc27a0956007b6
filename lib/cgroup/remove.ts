import { CgroupError } from "../errors.ts";
import { hasErrno, isGone } from "./usage.ts";

/** How long to try. */
export interface Patience {
  /** Milliseconds, over all groups together. Default: 1000. */
  timeoutMs?: number;
}

const PAUSE_MS = 3;

/**
 * Removes groups with all groups below them. One that is gone already is fine; one that is busy is tried again, as
 * the last process of a group may still be on its way out.
 *
 * @throws {CgroupError} `group-busy`: groups that stay busy, with the ids of their processes. The others are removed.
 */
export function removeGroups(paths: readonly string[], { timeoutMs = 1000 }: Patience = {}): void {
  const left = retry(timeoutMs, paths, (remaining) => remaining.filter((path) => !removeTree(path)));
  if (left.length > 0) throw busy("remove", left, timeoutMs);
}

/**
 * Kills all processes in a group and its descendants, and waits until they have ended. Uses v2's `cgroup.kill`, or (v1,
 * Linux before 5.14) sends SIGKILL repeatedly, since processes may fork meanwhile.
 *
 * @throws {CgroupError} `group-not-ours`: this process or process 1 is in it, so nothing is killed;
 * `group-busy`: processes that stay.
 */
export function killGroup(path: string, { timeoutMs = 1000 }: Patience = {}): void {
  const own = groupPids(path).filter((pid) => pid === Deno.pid || pid === 1);
  if (own.length > 0) {
    throw new CgroupError(`cannot kill control group ${path}: process ${own.join(", ")} is in it`, {
      code: "group-not-ours",
      facts: { path, pids: own },
      hint: "name the group of a container",
    });
  }
  const atOnce = writeIfThere(`${path}/cgroup.kill`, "1");
  const left = retry(timeoutMs, groupPids(path), (pids) => {
    if (!atOnce) pids.forEach(kill);
    thaw(path);
    return groupPids(path);
  });
  if (left.length > 0) throw busy("empty", [path], timeoutMs);
}

/** Returns the ids of the processes in a group and in those below it; none if it is gone. */
export function groupPids(path: string): number[] {
  return [...ownPids(path), ...childGroups(path).flatMap(groupPids)];
}

function ownPids(path: string): number[] {
  try {
    // Processes of another pid namespace read as 0.
    return Deno.readTextFileSync(`${path}/cgroup.procs`).split("\n").map(Number).filter((pid) => pid > 0);
  } catch (error) {
    // A threaded v2 group does not tell (EOPNOTSUPP): the processes are listed by the group above.
    if (isGone(error) || hasErrno(error, "EOPNOTSUPP")) return [];
    throw error;
  }
}

function childGroups(path: string): string[] {
  try {
    return [...Deno.readDirSync(path)].filter(({ isDirectory }) => isDirectory).map(({ name }) => `${path}/${name}`);
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

/** Reports whether the group is gone now; if not, it was busy. */
function removeTree(path: string): boolean {
  if (!childGroups(path).every(removeTree)) return false;
  try {
    Deno.removeSync(path);
    return true;
  } catch (error) {
    if (isGone(error)) return true;
    if (hasErrno(error, "EBUSY") || hasErrno(error, "ENOTEMPTY")) return false;
    throw error;
  }
}

function kill(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error; // ESRCH
  }
}

function writeIfThere(file: string, value: string): boolean {
  try {
    Deno.writeTextFileSync(file, value, { create: false });
    return true;
  } catch (error) {
    if (isGone(error)) return false;
    throw error;
  }
}

/** Thaws v1 groups: frozen processes die only once thawed. */
function thaw(path: string): void {
  writeIfThere(`${path}/freezer.state`, "THAWED");
  childGroups(path).forEach(thaw);
}

/** Retries `attempt` on the remaining groups until none is left or time is up. Returns the remaining ones. */
function retry<T>(timeoutMs: number, all: readonly T[], attempt: (left: readonly T[]) => readonly T[]): readonly T[] {
  const pause = new Int32Array(new SharedArrayBuffer(4));
  const deadline = performance.now() + timeoutMs;
  let left = all.length > 0 ? attempt(all) : all;
  while (left.length > 0 && performance.now() < deadline) {
    Atomics.wait(pause, 0, 0, PAUSE_MS);
    left = attempt(left);
  }
  return left;
}

function busy(verb: "remove" | "empty", paths: readonly string[], timeoutMs: number): CgroupError {
  const pids = [...new Set(paths.flatMap(groupPids))];
  const who = pids.length > 0 ? `it still holds process ${pids.join(", ")}` : "the kernel says it is busy";
  return new CgroupError(`cannot ${verb} control group ${paths.join(", ")}: ${who} after ${timeoutMs} ms`, {
    code: "group-busy",
    facts: { paths, pids },
    hint: pids.length > 0 ? "end those processes, then try again" : "try again",
  });
}
