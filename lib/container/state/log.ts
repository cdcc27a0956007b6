/**
 * Reading the log of a container that was started detached: `ID/log`, and what was rotated out of it.
 *
 * @module
 */

import { S_IF } from "../../../ffi/fs/fs.ts";
import { ownershipOf } from "../../../ffi/fs/paths.ts";
import { ContainerError } from "../../errors.ts";
import { parseTime } from "../../text/time.ts";
import {
  forEachLine,
  isEarlier,
  isFullAt,
  isRecord,
  type LogRecord,
  type LogStream,
  recordAt,
  streamAt,
  TEXT,
  TIME_LENGTH,
} from "./log_format.ts";
import type { ContainerRecord } from "./record.ts";
import { openParts, readParts, startBehind } from "./rotated.ts";

/** Why records may be missing: files were rotated away before they were read, or lines are no records. */
export type LogLoss = "rotated" | "damaged";

/** Which records to read, and what to do at the end. */
export interface LogOptions {
  /** Only records of this time or later, as {@linkcode parseTime} reads it: `10m`, `2026-11-24T06:15:12Z`. Default: all. */
  readonly since?: string;
  /** Only records of this time or earlier; waiting for more ends then. Default: all. */
  readonly until?: string;
  /** Only so many lines from the end of what there is, and what comes after them. Default: all. */
  readonly tail?: number;
  /**
   * Wait for more as long as this is true, and then read to the end: whether the container runs. It is asked when
   * something has changed in the container's folder, and once a second. Default: do not wait.
   */
  readonly follow?: () => boolean;
  /** Ends the waiting for more. */
  readonly signal?: AbortSignal;
  /** Called when records may be missing. */
  readonly onLoss?: (loss: LogLoss) => void;
}

const NEWLINE = 10;

/** Whether the container in `folder` has a log. */
export function hasLog(folder: string): boolean {
  return ((ownershipOf(`${folder}/log`, true)?.mode ?? 0) & S_IF.MT) === S_IF.REG;
}

/** Why a container has no log, and what to do. */
function absence({ id, name, options, detached }: ContainerRecord): { reason: string; hint: string } {
  const query = name ?? id;
  if (!detached) {
    return {
      reason: "it was run in the foreground, and what it wrote went to whoever ran it",
      hint: `run --detach keeps a log; sauropod start ${query} runs this one in the background, with a log`,
    };
  }
  if (options.logSize === 0) return { reason: "it was made without one", hint: "leave out --log-driver none" };
  return { reason: "it has not been started yet", hint: `sauropod start ${query}` };
}

/**
 * Checks that a container has a log.
 *
 * @throws {ContainerError} `no-log`.
 */
export function requireLog(containers: string, record: ContainerRecord): void {
  const { id, name } = record;
  if (hasLog(`${containers}/${id}`)) return;
  const { reason, hint } = absence(record);
  throw new ContainerError(`container ${name ?? id} has no log: ${reason}`, { code: "no-log", facts: { id }, hint });
}

/** Says of each line, from the last on, whether it is before the last `count` lines that the container wrote. */
function before(count: number): (line: Uint8Array) => boolean {
  // Of which streams the line that is being walked through has been met.
  const met = new Set<LogStream>();
  let lines = 0;
  return (line) => {
    const ended = line.at(-1) === NEWLINE;
    if (!isRecord(line, 0, line.length - (ended ? 1 : 0))) return count === 0 && ended;
    const stream = streamAt(line, 0);
    if (count === 0) return ended;
    if ((ended && isFullAt(line, 0)) || !met.has(stream)) lines++;
    met.add(stream);
    return lines > count;
  };
}

/** Whole lines of the log, from what is there when this is called. */
function open(
  folder: string,
  { tail, until, follow, signal, onLoss }: LogOptions,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const end = until === undefined ? Infinity : Date.parse(parseTime(until));
  const path = `${folder}/log`;
  const parts = openParts(path);
  if (tail !== undefined) startBehind(parts, before(tail));
  return readParts(path, parts, {
    more: follow && (() => Date.now() <= end && follow()),
    signal,
    // A container that has ended is told from one that runs by a link there.
    beside: [`${folder.slice(0, folder.lastIndexOf("/"))}/.live`],
    onLoss: () => onLoss?.("rotated"),
  });
}

type Visit = (at: number, end: number, full: boolean) => void;

/** Finds the records that are asked for. */
function select({ since, until, onLoss }: LogOptions): (bytes: Uint8Array, visit: Visit) => void {
  const encoder = new TextEncoder();
  const first = since === undefined ? undefined : encoder.encode(parseTime(since));
  // A record of exactly this time is wanted too; this one is the next.
  const end = until === undefined ? undefined : encoder.encode(parseTime(until).replace(/Z$/, "~"));
  return (bytes, visit) => {
    let damaged = false;
    forEachLine(bytes, (at, stop, ended) => {
      // A line that was not ended is being written, or its writer was killed.
      if (!isRecord(bytes, at, stop)) damaged ||= ended;
      else if (first && isEarlier(bytes, at, first)) return;
      else if (!end || isEarlier(bytes, at, end)) visit(at, stop, ended && isFullAt(bytes, at));
    });
    if (damaged) onLoss?.("damaged");
  };
}

/**
 * The records of the log of the container in `folder`, from what is there when this is called. What a container wrote is
 * the texts one after the other, each with a newline unless it is partial.
 *
 * @throws {InputError} `bad-time`.
 */
export function readLog(folder: string, options: LogOptions = {}): AsyncGenerator<LogRecord> {
  const forEachRecord = select(options), chunks = open(folder, options);
  return (async function* (): AsyncGenerator<LogRecord> {
    for await (const chunk of chunks) {
      const records: LogRecord[] = [];
      forEachRecord(chunk, (at, end, full) => records.push(recordAt(chunk, at, end, full)));
      yield* records;
    }
  })();
}

/**
 * Writes what a container wrote, from what is there when this is called: all bytes as they were, in order. Much quicker
 * than record by record. `write` gets as much as there is of one stream at a time, in a buffer that is used again. With
 * `timestamps`, each line begins with its time and a blank.
 *
 * @throws {InputError} `bad-time`.
 */
export async function copyLog(
  folder: string,
  options: LogOptions & { readonly timestamps?: boolean },
  write: (stream: LogStream, bytes: Uint8Array<ArrayBuffer>) => void,
): Promise<void> {
  const forEachRecord = select(options);
  const inLine: Record<LogStream, boolean> = { stdout: false, stderr: false };
  for await (const chunk of open(folder, options)) {
    // The texts are moved to the front of the buffer, over the fields that are not wanted.
    let filled = 0;
    let stream: LogStream = "stdout";
    const flush = (): void => {
      if (filled > 0) write(stream, chunk.subarray(0, filled));
      filled = 0;
    };
    const keep = (from: number, to: number): void => {
      chunk.copyWithin(filled, from, to);
      filled += to - from;
    };
    forEachRecord(chunk, (at, end, full) => {
      const next = streamAt(chunk, at);
      if (next !== stream) flush();
      stream = next;
      if (options.timestamps && !inLine[stream]) keep(at, at + TIME_LENGTH + 1);
      keep(at + TEXT, end);
      if (full) chunk[filled++] = NEWLINE;
      inLine[stream] = !full;
    });
    flush();
  }
}
