/**
 * What is known of a container: `ID/container.json`, written when it is made, when it ends and when its limits change,
 * and while it is made, runs or is removed the links `.live/ID`, which says whose it is, and `.live/ID.process`.
 *
 * @module
 */

import { flags } from "../../ffi/flags.ts";
import { AT_FDCWD, close, lock, openAt, SystemError } from "../../ffi/fs.ts";
import { readPresentFile, readSmallFile } from "../../ffi/paths.ts";
import { ContainerError } from "../errors.ts";
import type { Attachment } from "../network/attach.ts";
import type { PublishedPort } from "../network/ports.ts";
import type { KeptOptions } from "./kept.ts";
import { type MonitorState, readState } from "./state.ts";

/** A process that cannot be mistaken for another one with the same number, but in another boot. */
export interface ProcessMark {
  /** Its number in our pid namespace. */
  readonly pid: number;
  /** When it started, in clock ticks since boot (field 22 of proc_pid_stat(5)). */
  readonly startTime: number;
}

/** Whose a container is while something happens with it. */
export interface Liveness {
  /** The process that makes, holds or removes it; it does not outlive it. */
  readonly owner: ProcessMark;
  /** The container's first process, once it runs. */
  readonly process?: ProcessMark;
  /** The first eight digits of the boot's id (/proc/sys/kernel/random/boot_id). */
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

/** What a monitor holds for others to take with `pidfd_getfd(2)`: numbers of its descriptors. */
export interface Detached {
  /** The end of the container's standard input to write to. Default: it is closed. */
  readonly input?: number;
  /** Our side of the container's terminal. Default: it has none. */
  readonly terminal?: number;
  /** What the monitor is to do. Default: it has none yet. */
  readonly job?: number;
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
  /** The digest of the image's manifest, if it was in the store. */
  readonly imageDigest?: string;
  /** The folders of the image, uppermost first. */
  readonly lower: readonly string[];
  /** Folders that lie on those of the image, uppermost first: what had been changed when it was forked, or was a fork. */
  readonly layers?: readonly string[];
  /** The uppermost of them, while it is being made of the container's upper folder. */
  readonly forking?: string;
  /** When the first of those that it was forked of was made. Default: it is no fork. */
  readonly line?: string;
  /** The command and its arguments. */
  readonly command: readonly string[];
  /** What was asked, completed from the image. */
  readonly options: KeptOptions;
  /** When it was made, as an ISO 8601 time. */
  readonly created: string;
  /** Whether its folder stays when it has ended. */
  readonly keep: boolean;
  /** The control groups made for it, as absolute paths. */
  readonly cgroups: readonly string[];
  /** Whether a limit on its memory came so late that its group does not count all of it. */
  readonly countedLate?: true;
  /** Its places on bridged networks. Default: none. */
  readonly networks?: readonly Attachment[];
  /** Its published ports. Default: none. */
  readonly ports?: readonly PublishedPort[];
  /** How it ended. */
  readonly ended?: EndRecord;
  /** What its monitor holds, since it was last started detached. Default: it never was. */
  readonly detached?: Detached;
  /** What its monitor tells; not part of the file. */
  readonly state?: MonitorState;
}

/** What a container is doing. */
export type ContainerStatus = "created" | "running" | "restarting" | "exited";

const FILE = "container.json";
let boot: string | undefined;

/** The first eight digits of this boot's id. */
export function bootId(): string {
  boot ??= readSmallFile("/proc/sys/kernel/random/boot_id")?.slice(0, 8) ?? "";
  return boot;
}

/** Marks a live process; undefined if it has ended, also if nobody has waited for it yet. */
export function markProcess(pid: number): ProcessMark | undefined {
  const text = readSmallFile(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // The name in the second field can hold anything, also blanks and parentheses.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? undefined : { pid, startTime: Number(fields[19]) };
}

/** Whether the process still lives. */
export function isAlive(mark: ProcessMark): boolean {
  return markProcess(mark.pid)?.startTime === mark.startTime;
}

/** Whether the owner of something still lives. */
export function isOwned({ owner, boot }: Liveness): boolean {
  return boot === bootId() && isAlive(owner);
}

/** Whether the container's first process still lives. */
export function isRunning({ process, boot }: Liveness): boolean {
  return process !== undefined && boot === bootId() && isAlive(process);
}

/** What a container is doing now. */
export function statusOf({ ended, detached, state }: ContainerRecord, liveness: Liveness | undefined): ContainerStatus {
  if (ended) return "exited";
  if (!liveness) return detached && state?.status === "created" ? "created" : "exited";
  if (liveness.process && isRunning(liveness)) return "running";
  if (!isOwned(liveness)) return "exited";
  if (state?.status === "restarting") return "restarting";
  return liveness.process ? "exited" : "created";
}

/** Whether a container was made ahead of its command and has not got that: nothing has run in it. */
export function awaitsCommand({ command }: Pick<ContainerRecord, "command">): boolean {
  return command.length === 0;
}

/** An owner or process as the target of a link: `BOOT PID.START`. Short, so that the link needs no block on disk. */
export function formatMark({ pid, startTime }: ProcessMark): string {
  return `${bootId()} ${pid}.${startTime}`;
}

/** Reads what {@linkcode formatMark} wrote; undefined if it is something else. */
export function parseMark(text: string): { boot: string; mark: ProcessMark } | undefined {
  const [, boot, pid, startTime] = /^(\w+) (\d+)\.(\d+)$/.exec(text) ?? [];
  return boot === undefined ? undefined : { boot, mark: { pid: Number(pid), startTime: Number(startTime) } };
}

/** All folders below the container's upper one, uppermost first. */
export function lowerOf({ layers = [], lower }: Pick<ContainerRecord, "layers" | "lower">): readonly string[] {
  return [...layers, ...lower];
}

/** Writes the record into the container's folder, replacing what is there. */
export function writeRecord(folder: string, { state: _, ...record }: ContainerRecord): void {
  const temporary = `${folder}/.${FILE}.${Deno.pid}`;
  Deno.writeTextFileSync(temporary, JSON.stringify(record, null, 2) + "\n", { mode: 0o600 });
  Deno.renameSync(temporary, `${folder}/${FILE}`);
}

/** Removes the record: the folder is no container any more, but something to be removed. */
export function removeRecord(folder: string): void {
  try {
    Deno.removeSync(`${folder}/${FILE}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function isRecord(value: unknown): value is ContainerRecord {
  return typeof value === "object" && value !== null && "version" in value && value.version === 1 && "id" in value &&
    "image" in value && "command" in value && "cgroups" in value && "options" in value;
}

/** The record with what the monitor tells, which is how the container ended unless somebody has found out otherwise. */
function withState(record: ContainerRecord, state: MonitorState | undefined): ContainerRecord {
  if (state?.status !== "exited" || record.ended) return { ...record, state };
  const { finishedAt = record.created, code = 0, signal, oomKilled } = state;
  const ended = { at: finishedAt, code, ...(signal ? { signal } : {}), ...(oomKilled ? { oomKilled } : {}) };
  return { ...record, state, ended };
}

/**
 * Reads the record in a container's folder; undefined if there is none.
 *
 * @throws {ContainerError} `bad-record` if the file holds something else.
 */
export function readRecord(folder: string): ContainerRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(readPresentFile(`${folder}/${FILE}`));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    if (!(error instanceof SyntaxError)) throw error;
  }
  if (isRecord(value)) return value.detached ? withState(value, readState(folder)) : value;
  throw new ContainerError(`${folder}/${FILE} is not a container's record`, {
    code: "bad-record",
    facts: { folder },
    hint: "it was damaged or made by another version; remove the folder if nothing in it is needed",
  });
}

/**
 * Runs `work` with the record in a container's folder while nobody else changes it; returns undefined if there is none.
 * It must not wait for anything: whoever wants to change the record is blocked meanwhile.
 *
 * @throws {ContainerError} `bad-record`, and what `work` throws.
 */
export function withRecord<T>(folder: string, work: (record: ContainerRecord) => T): T | undefined {
  let fd: number;
  try {
    fd = openAt(AT_FDCWD, folder, flags("O", "RDONLY", "DIRECTORY"));
  } catch (error) {
    if (error instanceof SystemError && error.code === "ENOENT") return undefined;
    throw error;
  }
  try {
    lock(fd, "exclusive");
    const record = readRecord(folder);
    return record && work(record);
  } finally {
    close(fd);
  }
}
