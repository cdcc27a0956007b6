/**
 * Processes of a container, as ps(1) shows them: `top`.
 *
 * @module
 */

import { readSmallFile } from "../../../ffi/fs/paths.ts";
import { readImageFile } from "../../image/passwd.ts";
import { ImageError } from "../../errors.ts";
import { requireRunning } from "../state/running.ts";
import { findContainer } from "../state/names.ts";
import { statOf } from "./process_usage.ts";
import { processesOf } from "./processes.ts";
import { type ContainerRecord, lowerOf } from "../state/record.ts";

/** A process of a container. */
export interface ContainerProcess {
  /** PID in the container. */
  readonly pid: number;
  /** PID on the host. */
  readonly hostPid: number;
  /** PID of its parent in the container; 0 if the parent is outside. */
  readonly parent: number;
  /** Effective user id. */
  readonly uid: number;
  /** User name in the container, or the id. */
  readonly user: string;
  /** CPU time in percent of one CPU since its start. */
  readonly cpuPercent: number;
  /** CPU time since its start in seconds. */
  readonly cpuSeconds: number;
  /** Start time, in ISO 8601. */
  readonly started: string;
  /** Command and arguments; the program name in brackets if they cannot be read. */
  readonly command: string;
}

/** Reads the PIDs of a process, from this namespace inwards, and its effective user; undefined if it is gone. */
function identityOf(pid: number): { pids: number[]; uid: number } | undefined {
  const status = readSmallFile(`/proc/${pid}/status`);
  if (status === undefined) return undefined;
  const numbers = (name: string): number[] =>
    new RegExp(`^${name}:\t(.*)$`, "m").exec(status)?.[1]?.split("\t").map(Number) ?? [];
  return { pids: numbers("NSpid"), uid: numbers("Uid")[1] ?? 0 };
}

const ROOT = [0, "root"] as const;

/** Reads the user names by id from the container's /etc/passwd, which is untrusted and used for display only. */
function userNames(containers: string, record: ContainerRecord): ReadonlyMap<number, string> {
  try {
    const text = readImageFile([`${containers}/${record.id}/upper`, ...lowerOf(record)], "/etc/passwd") ?? "";
    const users = text.split("\n").map((line) => line.split(":"));
    const named = users.flatMap(([name, , uid = ""]) =>
      name && /^\d+$/.test(uid) ? [[Number(uid), name] as const] : []
    );
    return new Map([ROOT, ...named.toReversed()]);
  } catch (error) {
    if (error instanceof ImageError) return new Map([ROOT]);
    throw error;
  }
}

function commandOf(pid: number, name: string, state: string): string {
  const words = (readSmallFile(`/proc/${pid}/cmdline`) ?? "").replace(/\0+$/, "").replaceAll("\0", " ");
  if (words !== "") return words;
  return state === "Z" ? `[${name}] <defunct>` : `[${name}]`;
}

/** Returns the uptime in seconds, and the boot time in milliseconds since the epoch. */
function clock(): { uptime: number; boot: number } {
  const uptime = Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]);
  return { uptime, boot: Date.now() - uptime * 1000 };
}

/**
 * Returns the processes of a running container, sorted by their PIDs in it.
 *
 * @param query Its name, id or a unique prefix of its id.
 * @throws {ContainerError} `container-not-found`, `container-not-running`.
 */
export function topOf(containers: string, query: string): ContainerProcess[] {
  const { record, process } = requireRunning(containers, findContainer(containers, query));
  const names = userNames(containers, record);
  const { uptime, boot } = clock();
  // The innermost namespace of the first process is the container's.
  const level = (identityOf(process.pid)?.pids.length ?? 1) - 1;
  const found = processesOf(process.pid).flatMap((hostPid) => {
    const stat = statOf(hostPid), identity = identityOf(hostPid);
    const pid = identity?.pids[level];
    return stat && identity && pid !== undefined ? [{ hostPid, pid, stat, uid: identity.uid }] : [];
  }).toArray();
  const inside = new Map(found.map(({ hostPid, pid }) => [hostPid, pid]));
  const processes = found.map(({ hostPid, pid, stat, uid }): ContainerProcess => {
    const { cpuSeconds, startSeconds, name, state } = stat;
    const elapsed = uptime - startSeconds;
    return {
      pid,
      hostPid,
      parent: inside.get(stat.parent) ?? 0,
      uid,
      user: names.get(uid) ?? String(uid),
      cpuPercent: elapsed > 0 ? Math.round(cpuSeconds / elapsed * 1000) / 10 : 0,
      cpuSeconds,
      started: new Date(boot + startSeconds * 1000).toISOString(),
      command: commandOf(hostPid, name, state),
    };
  });
  return processes.sort((a, b) => a.pid - b.pid);
}
