/**
 * What is known of a container: `ID/container.json`, written when it is made, when it ends and when its limits change,
 * and while it is made, runs or is removed the links `.live/ID`, which says whose it is, and `.live/ID.process`.
 *
 * @module
 */

import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, lock, openAt, SystemError } from "../../../ffi/fs/fs.ts";
import { readOwnFile, removeAny, replaceFile } from "../../../ffi/fs/paths.ts";
import { ContainerError, messageOf } from "../../errors.ts";
import { isAlive, type ProcessIdentity } from "../../host/process_identity.ts";
import type { Attachment } from "../../network/allocate.ts";
import type { PublishedPort } from "../../network/ports.ts";
import type { RecordedOptions } from "../options.ts";
import { recordFault } from "./record_check.ts";
import { type MonitorState, readState } from "./monitor_state.ts";

/** Where a process that we cannot see has a container: in another namespace of this machine, or on another machine. */
export type Elsewhere = "namespace" | "machine";

/** Whose a container is while something happens with it. */
export interface Ownership {
  /** The process that makes, holds or removes it; it does not outlive it. */
  readonly owner: ProcessIdentity;
  /** The container's first process, once it runs. */
  readonly process?: ProcessIdentity;
  /** Where the owner is, if that is alive and we cannot see it. Default: we can. */
  readonly elsewhere?: Elsewhere;
  /** Whether one of the marks says nothing, so that nobody knows. */
  readonly damaged?: true;
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
  readonly options: RecordedOptions;
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
export type ContainerStatus = "created" | "running" | "restarting" | "exited" | "elsewhere" | "damaged";

const FILE = "container.json";

/** Whether the owner of something may still live. */
export function ownerIsAlive({ owner, elsewhere, damaged }: Ownership): boolean {
  return elsewhere !== undefined || damaged === true || isAlive(owner);
}

/** Whether we see the container's first process, and it still lives. */
export function isRunning({ process }: Ownership): boolean {
  return process !== undefined && isAlive(process);
}

/** What a container is doing now. */
export function statusOf(
  { ended, detached, state }: ContainerRecord,
  liveness: Ownership | undefined,
): ContainerStatus {
  if (ended) return "exited";
  if (!liveness) return detached && state?.status === "created" ? "created" : "exited";
  if (liveness.elsewhere) return "elsewhere";
  if (liveness.damaged) return "damaged";
  if (liveness.process && isRunning(liveness)) return "running";
  if (!ownerIsAlive(liveness)) return "exited";
  if (state?.status === "restarting") return "restarting";
  return liveness.process ? "exited" : "created";
}

/** Whether a container was made ahead of its command and has not got that: nothing has run in it. */
export function awaitsCommand({ command }: Pick<ContainerRecord, "command">): boolean {
  return command.length === 0;
}

/** All folders below the container's upper one, uppermost first. */
export function lowerOf({ layers = [], lower }: Pick<ContainerRecord, "layers" | "lower">): readonly string[] {
  return [...layers, ...lower];
}

/** Writes the record into the container's folder, replacing what is there. */
export function writeRecord(folder: string, { state: _, ...record }: ContainerRecord): void {
  replaceFile(`${folder}/${FILE}`, JSON.stringify(record, null, 2) + "\n");
}

/** Removes the record: the folder is no container any more, but something to be removed. */
export function removeRecord(folder: string): void {
  removeAny(`${folder}/${FILE}`);
}

function faultOf(value: unknown, folder: string): string | undefined {
  return recordFault(value, folder.slice(folder.lastIndexOf("/") + 1));
}

function isRecord(value: unknown, folder: string): value is ContainerRecord {
  return faultOf(value, folder) === undefined;
}

function badRecord(folder: string, why: string): ContainerError {
  const id = folder.slice(folder.lastIndexOf("/") + 1);
  return new ContainerError(`container ${id} is damaged: ${folder}/${FILE} is not a container's record: ${why}`, {
    code: "bad-record",
    facts: { id, folder, why },
    hint: `it was damaged or made by another version; sauropod rm -f ${id} removes the container with its files`,
  });
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
    const text = readOwnFile(`${folder}/${FILE}`);
    if (text === undefined) return undefined;
    value = JSON.parse(text);
  } catch (error) {
    throw badRecord(folder, messageOf(error));
  }
  if (isRecord(value, folder)) return value.detached ? withState(value, readState(folder)) : value;
  throw badRecord(folder, faultOf(value, folder) ?? "");
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

/**
 * The record of a container that has ended, with the groups and limits that it got while it ran. It gets no more: who
 * has the lock next sees that it has ended.
 */
export function lastRecord(folder: string, record: ContainerRecord): ContainerRecord {
  try {
    return withRecord(folder, (current) => current) ?? record;
  } catch (error) {
    if (error instanceof ContainerError) return record;
    throw error;
  }
}
