/**
 * Identity and resource usage of processes, from `/proc/PID` (`proc(5)`).
 *
 * @module
 */

import { readSmallFile } from "../../../ffi/fs/paths.ts";
import { statFields } from "../../../ffi/process/process.ts";
import type { BlockIo } from "../../cgroup/usage.ts";

/** Clock ticks per second in /proc, the same on every architecture. */
export const TICKS = 100;

/** Fields of `/proc/PID/stat`. */
export interface ProcessStat {
  /** Program name, at most 15 bytes. */
  readonly name: string;
  /** State, one letter: `R` running, `S` sleeping, `Z` zombie… */
  readonly state: string;
  /** Parent PID in this PID namespace. */
  readonly parent: number;
  /** CPU time of its threads in seconds. */
  readonly cpuSeconds: number;
  /** CPU time of its reaped children in seconds. */
  readonly childSeconds: number;
  /** Number of threads. */
  readonly threads: number;
  /** Start time, in seconds since boot. */
  readonly startSeconds: number;
}

/** Parses the text of a `/proc/PID/stat`. */
export function parseStat(text: string): ProcessStat {
  const fields = statFields(text), { 2: name = "", 3: state = "" } = fields;
  const number = (index: number): number => Number(fields[index] ?? 0);
  return {
    name,
    state,
    parent: number(4),
    cpuSeconds: (number(14) + number(15)) / TICKS,
    childSeconds: (number(16) + number(17)) / TICKS,
    threads: number(20),
    startSeconds: number(22) / TICKS,
  };
}

/** Reads the `stat` file of a process; undefined if the process is gone. */
export function statOf(pid: number): ProcessStat | undefined {
  const text = readSmallFile(`/proc/${pid}/stat`);
  return text === undefined ? undefined : parseStat(text);
}

function field(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s*(\\d+)`, "m").exec(text)?.[1] ?? 0);
}

/** Returns the proportional set size (PSS) of a process in bytes; 0 if it is gone. */
export function memoryOfProcess(pid: number): number {
  return field(readSmallFile(`/proc/${pid}/smaps_rollup`) ?? "", "Pss") * 1024;
}

/** Returns the block I/O of a process and its reaped children; undefined if it is gone or the kernel does not count it. */
export function blockIoOfProcess(pid: number): BlockIo | undefined {
  const text = readSmallFile(`/proc/${pid}/io`);
  if (text === undefined) return undefined;
  const written = field(text, "write_bytes") - field(text, "cancelled_write_bytes");
  return { read: field(text, "read_bytes"), written: Math.max(0, written) };
}

/** Traffic of all interfaces of a network namespace except `lo`. */
export interface NetworkIo {
  /** Bytes received. */
  readonly received: number;
  /** Bytes sent. */
  readonly sent: number;
}

/** Parses the text of a `/proc/PID/net/dev`. */
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

/** Returns the traffic of a process's network namespace; undefined if the process is gone. */
export function networkIoOf(pid: number): NetworkIo | undefined {
  const text = readSmallFile(`/proc/${pid}/net/dev`);
  return text === undefined ? undefined : parseNetworkIo(text);
}
