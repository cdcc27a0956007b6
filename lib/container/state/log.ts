/**
 * Logs of detached containers: `ID/log` and its rotated files.
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

/** Reason for missing records: files were rotated away before they were read, or lines are invalid. */
export type LogLoss = "rotated" | "damaged";

/** Selection of log records, and whether to follow the log. */
export interface LogOptions {
  /** Start time, as {@linkcode parseTime} reads it: `10m`, `2026-11-24T06:15:12Z`. Default: all. */
  readonly since?: string;
  /** End time, until which the log is followed. Default: all. */
  readonly until?: string;
  /** Number of lines from the current end of the log to begin with. Default: all. */
  readonly tail?: number;
  /**
   * Follows the log as long as this returns true (the container runs), and then reads to its end. Called after each
   * change in the container's directory, and once a second. Default: do not follow.
   */
  readonly follow?: () => boolean;
  /** Stops following when aborted. */
  readonly signal?: AbortSignal;
  /** Called when records may be missing. */
  readonly onLoss?: (loss: LogLoss) => void;
}

const NEWLINE = 10;

/** Returns whether the container in the directory `folder` has a log. */
export function hasLog(folder: string): boolean {
  return ((ownershipOf(`${folder}/log`, true)?.mode ?? 0) & S_IF.MT) === S_IF.REG;
}

/** Returns the reason why a container has no log, and a hint. */
function absence({ id, name, options, detached }: ContainerRecord): { reason: string; hint: string } {
  const query = name ?? id;
  if (!detached) {
    return {
      reason: "it was run attached, and its output went to the process that ran it",
      hint: `use run --detach; or start this one detached, with a log: sauropod start ${query}`,
    };
  }
  if (options.logSize === 0) return { reason: "it was created without one", hint: "omit --log-driver none" };
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

/** Returns a predicate for lines, called from the last on: whether one is before the last `count` lines of output. */
function before(count: number): (line: Uint8Array) => boolean {
  // Streams whose current line has been met.
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

/** Yields whole lines of the log, from its state at the time of the call on. */
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
    // The ownership mark there is removed when the container exits.
    beside: [`${folder.slice(0, folder.lastIndexOf("/"))}/.live`],
    onLoss: () => onLoss?.("rotated"),
  });
}

type Visit = (at: number, end: number, full: boolean) => void;

/** Returns a function that visits the selected records of a chunk. */
function select({ since, until, onLoss }: LogOptions): (bytes: Uint8Array, visit: Visit) => void {
  const encoder = new TextEncoder();
  const first = since === undefined ? undefined : encoder.encode(parseTime(since));
  // Inclusive: `~` sorts after `Z`.
  const end = until === undefined ? undefined : encoder.encode(parseTime(until).replace(/Z$/, "~"));
  return (bytes, visit) => {
    let damaged = false;
    forEachLine(bytes, (at, stop, ended) => {
      // A line without a newline is being written, or its writer was killed.
      if (!isRecord(bytes, at, stop)) damaged ||= ended;
      else if (first && isEarlier(bytes, at, first)) return;
      else if (!end || isEarlier(bytes, at, end)) visit(at, stop, ended && isFullAt(bytes, at));
    });
    if (damaged) onLoss?.("damaged");
  };
}

/**
 * Yields the log records of the container in the directory `folder`, from the state of the log at the time of the call.
 * The output is the concatenation of the texts, each with a newline unless it is partial.
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
 * Copies the output of a container from its log, from the state of the log at the time of the call: all bytes, in order.
 * Much faster than record by record. `write` gets runs of one stream in a buffer that is reused. With `timestamps`, each
 * line begins with its time and a space.
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
    // Moves the texts to the front of the buffer, over the other fields.
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
