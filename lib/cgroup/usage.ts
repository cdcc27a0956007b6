/**
 * Resource usage of groups, and their out-of-memory kills.
 *
 * @module
 */

import { type ErrnoName, errnoNumber } from "../../ffi/errno.ts";
import { modeOf } from "../../ffi/fs/paths.ts";
import { INNER } from "./plan.ts";

/** Memory of a group, in bytes. */
export interface GroupMemory {
  /** Memory in use, including the recently used page cache. */
  readonly used: number;
  /** How much of `used` is page cache, which the kernel takes back before it refuses memory. */
  readonly cache: number;
  /** The limit. Default: none. */
  readonly limit?: number;
}

/** Bytes that went to and came from block devices. */
export interface BlockIo {
  /** Bytes read. */
  readonly read: number;
  /** Bytes written. */
  readonly written: number;
}

// v1's value of no limit: the largest page counter.
const UNLIMITED = 2 ** 62;

function read(file: string): string | undefined {
  if (modeOf(file) === undefined) return undefined;
  try {
    return Deno.readTextFileSync(file);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

function field(text: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
}

const MEMORY_FILES = [
  { used: "memory.usage_in_bytes", limit: "memory.limit_in_bytes", prefix: "total_" },
  { used: "memory.current", limit: "memory.max", prefix: "" },
] as const;

/**
 * Returns the memory of a group of v1 or v2; undefined if it does not count memory. As with Docker, cache that lies
 * idle is not counted.
 */
export function memoryOf(group: string): GroupMemory | undefined {
  for (const { used, limit, prefix } of MEMORY_FILES) {
    const usage = read(`${group}/${used}`);
    if (usage === undefined) continue;
    const statistics = read(`${group}/memory.stat`) ?? "";
    const idle = field(statistics, `${prefix}inactive_file`), active = field(statistics, `${prefix}active_file`);
    const most = Number(read(`${group}/${limit}`)?.trim() ?? NaN);
    return {
      used: Math.max(0, Number(usage) - idle),
      cache: active,
      ...(most < UNLIMITED ? { limit: most } : {}),
    };
  }
}

/** Returns the processes and threads in a group; undefined if it does not count them. */
export function tasksIn(group: string): number | undefined {
  const text = read(`${group}/pids.current`);
  return text === undefined ? undefined : Number(text);
}

/** Returns the seconds of CPU time that a v2 group has used; undefined if there is no such group. */
export function cpuSecondsOf(group: string): number | undefined {
  const text = read(`${group}/cpu.stat`);
  // v1 has a file of that name which tells something else.
  return text?.startsWith("usage_usec ") ? field(text, "usage_usec") / 1e6 : undefined;
}

/** Returns the block I/O of a v2 group; undefined if it is not counted. */
export function blockIoOf(group: string): BlockIo | undefined {
  const text = read(`${group}/io.stat`);
  if (text === undefined) return undefined;
  const sum = (name: string): number =>
    text.matchAll(new RegExp(` ${name}=(\\d+)`, "g")).reduce((total, [, bytes]) => total + Number(bytes), 0);
  return { read: sum("rbytes"), written: sum("wbytes") };
}

/**
 * Returns the number of out-of-memory kills in a group.
 *
 * @param oomFile The group's `memory.oom_control` (v1) or `memory.events` (v2). If it is gone, the answer is 0.
 */
export function oomKills(oomFile: string): number {
  return field(read(oomFile) ?? "", "oom_kill");
}

/** Reports whether the kernel has killed a process in one of the groups for lack of memory. */
export function ranOutOfMemory(groups: readonly string[]): boolean {
  const files = groups.flatMap((group) => [
    `${group}/memory.oom_control`,
    `${group}/${INNER}/memory.oom_control`,
    `${group}/memory.events`,
  ]);
  return files.some((file) => oomKills(file) > 0);
}

/**
 * Reports whether an error says that a group does not exist (ENOENT), or was removed while its file was open (ENODEV).
 */
export function isGone(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || hasErrno(error, "ENODEV");
}

/**
 * Reports whether a failed system call gave this errno, such as `EBUSY`. Deno has no code for some, such as ENODEV and
 * ESRCH.
 */
export function hasErrno(error: unknown, name: ErrnoName): boolean {
  if (!(error instanceof Error)) return false;
  return ("code" in error && error.code === name) || error.message.includes(`(os error ${errnoNumber(name)})`);
}
