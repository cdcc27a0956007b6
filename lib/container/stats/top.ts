/**
 * The processes of a container, as ps(1) would show them.
 *
 * @module
 */

import { readImageFile } from "../../image/passwd.ts";
import { ImageError } from "../../errors.ts";
import { requireRunning } from "../state/runtime_groups.ts";
import { findContainer } from "../state/names.ts";
import { readProcessFile, statOf } from "./process_usage.ts";
import { processesOf } from "./processes.ts";
import { type ContainerRecord, lowerOf } from "../state/record.ts";

/** A process of a container. */
export interface ContainerProcess {
  /** Its number in the container. */
  readonly pid: number;
  /** Its number as the host sees it. */
  readonly hostPid: number;
  /** The number of its parent in the container; 0 if that is outside. */
  readonly parent: number;
  /** Its user's id. */
  readonly uid: number;
  /** Its user's name in the container, or the id. */
  readonly user: string;
  /** CPU time in percent of one CPU since its start. */
  readonly cpuPercent: number;
  /** Seconds of CPU time since its start. */
  readonly cpuSeconds: number;
  /** When it started, as an ISO 8601 time. */
  readonly started: string;
  /** The command and its arguments; the name of the program in brackets if there are none to be seen. */
  readonly command: string;
}

/** The numbers of a process, from our namespace inwards, and its effective user. */
function identityOf(pid: number): { pids: number[]; uid: number } | undefined {
  const status = readProcessFile(pid, "status");
  if (status === undefined) return undefined;
  const numbers = (name: string): number[] =>
    new RegExp(`^${name}:\t(.*)$`, "m").exec(status)?.[1]?.split("\t").map(Number) ?? [];
  return { pids: numbers("NSpid"), uid: numbers("Uid")[1] ?? 0 };
}

const ROOT = [0, "root"] as const;

/** The names of users by id. What the container has made of its /etc/passwd is not to be trusted, but for that. */
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
  const words = (readProcessFile(pid, "cmdline") ?? "").replace(/\0+$/, "").replaceAll("\0", " ");
  if (words !== "") return words;
  return state === "Z" ? `[${name}] <defunct>` : `[${name}]`;
}

/** Seconds since the machine was started, and when that was, in milliseconds since the epoch. */
function clock(): { uptime: number; boot: number } {
  const uptime = Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]);
  return { uptime, boot: Date.now() - uptime * 1000 };
}

/**
 * The processes of a container that runs, in the order of their numbers in it.
 *
 * @param query Its name, id or the beginning of its id.
 * @throws {ContainerError} `container-not-found`, `container-not-running`.
 */
export function topOf(containers: string, query: string): ContainerProcess[] {
  const { record, process } = requireRunning(containers, findContainer(containers, query));
  const names = userNames(containers, record);
  const { uptime, boot } = clock();
  // The container's namespace is the innermost of its first process.
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
