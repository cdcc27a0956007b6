/**
 * What /proc says of processes (`proc(5)`): what they are, and what they use.
 *
 * @module
 */

import { type BlockIo, hasErrno } from "../../cgroup/usage.ts";

/** Clock ticks in a second, as /proc counts them on every architecture. */
export const TICKS = 100;

/** What `/proc/PID/stat` says. */
export interface ProcessStat {
  /** The name of the program, at most 15 bytes. */
  readonly name: string;
  /** One letter: `R` runs, `S` sleeps, `Z` has ended… */
  readonly state: string;
  /** The parent's number, as the host sees it. */
  readonly parent: number;
  /** Seconds of CPU time that its threads have used. */
  readonly cpuSeconds: number;
  /** Seconds of CPU time that its children had used when they ended and were waited for. */
  readonly childSeconds: number;
  /** Threads. */
  readonly threads: number;
  /** When it started, in seconds since the machine did. */
  readonly startSeconds: number;
}

/** Reads a file of a process; undefined if the process is gone, or the kernel does not have it. */
export function readProcessFile(pid: number, file: string): string | undefined {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/${file}`);
  } catch (error) {
    const gone = error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied;
    if (gone || (["ESRCH", "EINVAL", "EACCES"] as const).some((name) => hasErrno(error, name))) return undefined;
    throw error;
  }
}

/** Reads the text of a `/proc/PID/stat`. */
export function parseStat(text: string): ProcessStat {
  // The name can hold anything, also blanks and parentheses.
  const open = text.indexOf("("), close = text.lastIndexOf(")");
  const fields = text.slice(close + 2).split(" ");
  // Numbered as in proc_pid_stat(5), where the state is the third.
  const number = (index: number): number => Number(fields[index - 3] ?? 0);
  return {
    name: text.slice(open + 1, close),
    state: fields[0] ?? "",
    parent: number(4),
    cpuSeconds: (number(14) + number(15)) / TICKS,
    childSeconds: (number(16) + number(17)) / TICKS,
    threads: number(20),
    startSeconds: number(22) / TICKS,
  };
}

/** What a process is; undefined if it is gone. */
export function statOf(pid: number): ProcessStat | undefined {
  const text = readProcessFile(pid, "stat");
  return text === undefined ? undefined : parseStat(text);
}

function field(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(text)?.[1] ?? 0);
}

/** Bytes of memory that a process uses; what it shares with others counts by its part. 0 if it is gone. */
export function memoryOfProcess(pid: number): number {
  return field(readProcessFile(pid, "smaps_rollup") ?? "", "Pss") * 1024;
}

/** What a process and its ended children have read and written; undefined if it is gone or that is not counted. */
export function blockIoOfProcess(pid: number): BlockIo | undefined {
  const text = readProcessFile(pid, "io");
  if (text === undefined) return undefined;
  const written = field(text, "write_bytes") - field(text, "cancelled_write_bytes");
  return { read: field(text, "read_bytes"), written: Math.max(0, written) };
}

/** Bytes that went through the interfaces of a network namespace, but for `lo`. */
export interface NetworkIo {
  /** Bytes received. */
  readonly received: number;
  /** Bytes sent. */
  readonly sent: number;
}

/** Reads the text of a `/proc/PID/net/dev`. */
export function parseNetworkIo(text: string): NetworkIo {
  let received = 0, sent = 0;
  for (const [, name, counters = ""] of text.matchAll(/^ *([^\s:]+): *(.*)$/gm)) {
    if (name === "lo") continue;
    const numbers = counters.trim().split(/ +/).map(Number);
    received += numbers[0] ?? 0;
    sent += numbers[8] ?? 0;
  }
  return { received, sent };
}

/** The traffic of a process's network namespace; undefined if the process is gone. */
export function networkIoOf(pid: number): NetworkIo | undefined {
  const text = readProcessFile(pid, "net/dev");
  return text === undefined ? undefined : parseNetworkIo(text);
}
