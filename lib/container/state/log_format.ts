/**
 * Log format of the Kubernetes container runtime interface (CRI), one record per line:
 *
 *     2026-11-24T06:15:12.699123456Z stdout F text
 *
 * F (full) if the text ended with a newline, P (partial) if it continues in the stream's next record. The text may contain
 * any byte except newline. All fields before it have a fixed width.
 *
 * @module
 */

/** Name of an output stream. */
export type LogStream = "stdout" | "stderr";

/** A piece of a container's output: a line, or part of one. */
export interface LogRecord {
  /** Time in UTC with nanoseconds: `2026-11-24T06:15:12.699123456Z`. */
  readonly time: string;
  /** Stream that it was written to. */
  readonly stream: LogStream;
  /** Text, without the newline at its end. */
  readonly text: Uint8Array<ArrayBuffer>;
  /** Whether it did not end with a newline and continues in the stream's next record. */
  readonly partial: boolean;
}

/** Length of the time. */
export const TIME_LENGTH = 30;
/** Offset of the text. */
export const TEXT = 40;

const NEWLINE = 10, BLANK = 32;
const STREAM = 31, STREAM_END = 37, TAG = 38, TAG_END = 39;
const FULL = "F".charCodeAt(0), PARTIAL = "P".charCodeAt(0), ZULU = "Z".charCodeAt(0);
const NAMES = [new TextEncoder().encode("stdout"), new TextEncoder().encode("stderr")];
const decoder = new TextDecoder();

function isName(bytes: Uint8Array, at: number, name: Uint8Array): boolean {
  for (let i = 0; i < name.length; i++) if (bytes[at + i] !== name[i]) return false;
  return true;
}

/** Returns whether a record begins at `at` and ends before `end`. */
export function isRecord(bytes: Uint8Array, at: number, end: number): boolean {
  const tag = bytes[at + TAG];
  return end - at >= TEXT && bytes[at + TIME_LENGTH - 1] === ZULU && bytes[at + TIME_LENGTH] === BLANK &&
    NAMES.some((name) => isName(bytes, at + STREAM, name)) && bytes[at + STREAM_END] === BLANK &&
    (tag === FULL || tag === PARTIAL) && bytes[at + TAG_END] === BLANK;
}

/** Returns the stream of the record that begins at `at`. */
export function streamAt(bytes: Uint8Array, at: number): LogStream {
  return bytes[at + STREAM + 3] === NAMES[0]?.[3] ? "stdout" : "stderr";
}

/** Returns whether the record that begins at `at` is marked as full. */
export function isFullAt(bytes: Uint8Array, at: number): boolean {
  return bytes[at + TAG] === FULL;
}

/** Returns whether the record that begins at `at` is earlier than `time`, given as bytes. */
export function isEarlier(bytes: Uint8Array, at: number, time: Uint8Array): boolean {
  for (let i = 0; i < TIME_LENGTH; i++) {
    const difference = (bytes[at + i] ?? 0) - (time[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}

/** Decodes the record that begins at `at` and whose text ends before `end`. */
export function recordAt(bytes: Uint8Array<ArrayBuffer>, at: number, end: number, full: boolean): LogRecord {
  return {
    time: decoder.decode(bytes.subarray(at, at + TIME_LENGTH)),
    stream: streamAt(bytes, at),
    text: bytes.slice(at + TEXT, end),
    partial: !full,
  };
}

/** Calls `visit` for each line with its begin, its end, and whether it ends with a newline. */
export function forEachLine(bytes: Uint8Array, visit: (at: number, end: number, ended: boolean) => void): void {
  for (let at = 0; at < bytes.length;) {
    const newline = bytes.indexOf(NEWLINE, at);
    const end = newline < 0 ? bytes.length : newline;
    visit(at, end, newline >= 0);
    at = end + 1;
  }
}
