/**
 * The record of a container: one readable file in its folder, replaced atomically.
 *
 * @module
 */

import { ContainerError } from "../errors.ts";

/** A process that cannot be mistaken for another one with the same number. */
export interface ProcessMark {
  /** Its number in our pid namespace. */
  readonly pid: number;
  /** When it started, in clock ticks since boot (field 22 of proc_pid_stat(5)). */
  readonly startTime: number;
  /** The boot that this was in (/proc/sys/kernel/random/boot_id). */
  readonly boot: string;
}

/** What is known about a container that has ended. */
export interface EndRecord {
  /** When, as an ISO 8601 time. */
  readonly at: string;
  /** The exit code: 128 plus the signal's number after a signal. */
  readonly code: number;
  /** The number of the signal that killed it. */
  readonly signal?: number;
  /** Whether the kernel killed one of its processes for lack of memory. */
  readonly oomKilled?: true;
  /** Whether its end was not seen but found out later. */
  readonly lost?: true;
}

/** `container.json`. */
export interface ContainerRecord {
  /** The layout of this file. */
  readonly version: 1;
  /** Twelve hexadecimal digits; also the folder's name. */
  readonly id: string;
  /** The name that the user gave. Default: none. */
  readonly name?: string;
  /** The image as the user wrote it. */
  readonly image: string;
  /** The folders of the image, uppermost first. */
  readonly lower: readonly string[];
  /** The command and its arguments. */
  readonly command: readonly string[];
  /** When it was made, as an ISO 8601 time. */
  readonly created: string;
  /** Whether its folder stays when it has ended. */
  readonly keep: boolean;
  /** The process that owns it: the container does not outlive it. */
  readonly owner: ProcessMark;
  /** The container's first process, once it runs. */
  readonly process?: ProcessMark;
  /** The control groups made for it, as absolute paths. */
  readonly cgroups: readonly string[];
  /** How it ended. */
  readonly ended?: EndRecord;
}

/** What a container is doing. */
export type ContainerStatus = "created" | "running" | "exited";

const FILE = "container.json";
let boot: string | undefined;

function bootId(): string {
  boot ??= Deno.readTextFileSync("/proc/sys/kernel/random/boot_id").trim();
  return boot;
}

/** When a process started, in ticks since boot; undefined if there is none with this number, or only a zombie. */
function startTime(pid: number): number | undefined {
  try {
    const text = Deno.readTextFileSync(`/proc/${pid}/stat`);
    // The name in the second field can hold anything, also blanks and parentheses.
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : Number(fields[19]);
  } catch {
    return undefined;
  }
}

/** Marks a live process; undefined if it has ended. */
export function markProcess(pid: number): ProcessMark | undefined {
  const start = startTime(pid);
  return start === undefined ? undefined : { pid, startTime: start, boot: bootId() };
}

/** Whether a marked process still lives. */
export function isAlive(mark: ProcessMark): boolean {
  return mark.boot === bootId() && startTime(mark.pid) === mark.startTime;
}

/** What a container is doing now. */
export function statusOf(record: ContainerRecord): ContainerStatus {
  if (record.ended) return "exited";
  if (record.process) return isAlive(record.process) ? "running" : "exited";
  return isAlive(record.owner) ? "created" : "exited";
}

/** Writes the record into the container's folder. */
export function writeRecord(folder: string, record: ContainerRecord): void {
  const temporary = `${folder}/.${FILE}.${Deno.pid}`;
  Deno.writeTextFileSync(temporary, JSON.stringify(record, null, 2) + "\n", { mode: 0o600 });
  Deno.renameSync(temporary, `${folder}/${FILE}`);
}

function isRecord(value: unknown): value is ContainerRecord {
  return typeof value === "object" && value !== null && "version" in value && value.version === 1 && "id" in value &&
    "owner" in value && "image" in value && "command" in value;
}

/**
 * Reads the record in a container's folder; undefined if there is none.
 *
 * @throws {ContainerError} `bad-record` if the file holds something else.
 */
export function readRecord(folder: string): ContainerRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(Deno.readTextFileSync(`${folder}/${FILE}`));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    if (!(error instanceof SyntaxError)) throw error;
  }
  if (isRecord(value)) return value;
  throw new ContainerError(`${folder}/${FILE} is not a container's record`, {
    code: "bad-record",
    facts: { folder },
    hint: "it was damaged or made by another version; remove the folder if nothing in it is needed",
  });
}
