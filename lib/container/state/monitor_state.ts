/**
 * What the monitor of a detached container tells of it: the file `state` in the container's folder, which it writes in
 * place (`ffi/shim/record.c`).
 *
 * @module
 */

import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt, SystemError, writeAll } from "../../../ffi/fs/fs.ts";
import { readOwnFile } from "../../../ffi/fs/paths.ts";

/** Whether a container is well, if it has a command that tells. */
export type Health = "starting" | "healthy" | "unhealthy";

/** What a monitor tells. */
export interface MonitorState {
  /** What the container is doing. */
  readonly status: "created" | "running" | "restarting" | "exited";
  /** How many times the monitor has started it again. */
  readonly restarts: number;
  /** When it was last started, as an ISO 8601 time with nanoseconds; empty if it never was. */
  readonly startedAt: string;
  /** When it last ended. Default: it has not. */
  readonly finishedAt?: string;
  /** How it last ended: the exit code, or 128 plus the signal's number. */
  readonly code?: number;
  /** The number of the signal that killed it. Default: none did. */
  readonly signal?: number;
  /** Whether the kernel killed one of its processes for lack of memory. */
  readonly oomKilled?: true;
  /** Whether it is well. Default: nobody asks. */
  readonly health?: Health;
  /** How many times in a row it was not. */
  readonly failures?: number;
}

const FILE = "state", SIZE = 512, TRIES = 20;

// In place: a full disk has no room for another file, nor for one that was made empty first.
function write(path: string, text: string): void {
  const fd = openAt(AT_FDCWD, path, flags("O", "WRONLY", "CREAT", "NOFOLLOW", "NONBLOCK"), 0o600);
  try {
    writeAll(fd, new TextEncoder().encode(text));
  } finally {
    close(fd);
  }
}

/** Makes the file, as large as it will ever be: a full disk must not keep a monitor from writing. */
export function createState(folder: string): void {
  const state: MonitorState & Whole = { sequence: 0, status: "created", restarts: 0, startedAt: "", end: 0 };
  write(`${folder}/${FILE}`, JSON.stringify(state).padEnd(SIZE - 1) + "\n");
}

/** Reads the file as it is; undefined if there is none. */
export function saveState(folder: string): string | undefined {
  return readOwnFile(`${folder}/${FILE}`);
}

/** Makes the file as it was when it was saved. */
export function restoreState(folder: string, saved: string | undefined): void {
  if (saved !== undefined) write(`${folder}/${FILE}`, saved);
}

/** A number at both ends: if they differ, the text was read while it was being written. */
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

/** Reads what the monitor tells; undefined if the container never had one, or the file is damaged. */
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

/** What the monitor of the container in `folder` tells; undefined if it never had one. */
export function readState(folder: string): MonitorState | undefined {
  return parseState(() => readOwnFile(`${folder}/${FILE}`));
}
