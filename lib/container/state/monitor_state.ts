/**
 * State of a detached container as its monitor reports it: the file `state` in the container's directory, which the monitor
 * writes in place (`ffi/shim/record.c`).
 *
 * @module
 */

import { flags } from "../../../ffi/program/flags.ts";
import { Fd } from "../../../ffi/fs/fd.ts";
import { AT_FDCWD, openAt, SystemError, writeAll } from "../../../ffi/fs/fs.ts";
import { readOwnFile } from "../../../ffi/fs/paths.ts";

/** Health status of a container with a health check. */
export type Health = "starting" | "healthy" | "unhealthy";

/** State reported by a monitor. */
export interface MonitorState {
  /** State of the container. */
  readonly status: "created" | "running" | "restarting" | "exited";
  /** Number of restarts by the monitor. */
  readonly restarts: number;
  /** Time of the last start, in ISO 8601 with nanoseconds; empty if there was none. */
  readonly startedAt: string;
  /** Time of the last exit. Default: none. */
  readonly finishedAt?: string;
  /** Last exit status: 128 plus the signal number after a signal. */
  readonly code?: number;
  /** The number of the signal that killed it. Default: none. */
  readonly signal?: number;
  /** Whether the kernel killed one of its processes for lack of memory. */
  readonly oomKilled?: true;
  /** Health status. Default: no health check. */
  readonly health?: Health;
  /** Number of consecutive failures of the health check. */
  readonly failures?: number;
}

const FILE = "state", SIZE = 512, TRIES = 20;

// In place: a full disk has no room for another file, nor for one that was truncated first.
function write(path: string, text: string): void {
  using file = new Fd(openAt(AT_FDCWD, path, flags("O", "WRONLY", "CREAT", "NOFOLLOW", "NONBLOCK"), 0o600));
  writeAll(file.number, new TextEncoder().encode(text));
}

/** Creates the file at its final size: a full disk must not keep a monitor from writing. */
export function createState(folder: string): void {
  const state: MonitorState & Whole = { sequence: 0, status: "created", restarts: 0, startedAt: "", end: 0 };
  write(`${folder}/${FILE}`, JSON.stringify(state).padEnd(SIZE - 1) + "\n");
}

/** Reads the text of the file, to restore it later; undefined if there is none. */
export function saveState(folder: string): string | undefined {
  return readOwnFile(`${folder}/${FILE}`);
}

/** Restores the file that {@linkcode saveState} has read. */
export function restoreState(folder: string, saved: string | undefined): void {
  if (saved !== undefined) write(`${folder}/${FILE}`, saved);
}

/** Equal numbers at both ends of the text; different ones if it was read while being written. */
interface Whole {
  readonly sequence: number;
  readonly end: number;
}

const STATUSES: readonly unknown[] = ["created", "running", "restarting", "exited"];
const TYPES: Readonly<Record<string, string>> = {
  sequence: "number",
  restarts: "number",
  startedAt: "string",
  finishedAt: "string",
  code: "number",
  signal: "number",
  oomKilled: "boolean",
  health: "string",
  failures: "number",
  end: "number",
};
const NEEDED = ["sequence", "restarts", "startedAt", "end"];

function isState(value: unknown): value is MonitorState & Whole {
  return typeof value === "object" && value !== null && "status" in value && STATUSES.includes(value.status) &&
    NEEDED.every((name) => name in value) &&
    Object.entries(value).every(([name, field]) => typeof field === (TYPES[name] ?? typeof field)) &&
    "sequence" in value && "end" in value && value.sequence === value.end;
}

/** Parses the text that `read` returns, again while it is being written; undefined if there is none or it is damaged. */
export function parseState(read: () => string | undefined): MonitorState | undefined {
  for (let i = 0; i < TRIES; i++) {
    try {
      const text = read();
      if (text === undefined) return undefined;
      const value: unknown = JSON.parse(text);
      if (isState(value)) {
        const { sequence: _sequence, end: _end, ...state } = value;
        return state;
      }
    } catch (error) {
      if (error instanceof SystemError) return undefined;
      if (!(error instanceof SyntaxError)) throw error;
    }
  }
  return undefined;
}

/** Reads the state of the container in the directory `folder`; undefined if it never had a monitor. */
export function readState(folder: string): MonitorState | undefined {
  return parseState(() => readOwnFile(`${folder}/${FILE}`));
}
