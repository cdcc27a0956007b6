/**
 * The record of a container: `ID/container.json`, written when the container is created, exits, or is updated. While it
 * is created, runs or is removed, the link `.live/ID` names its owner and `.live/ID.process` its first process.
 *
 * @module
 */

import { flags } from "../../../ffi/program/flags.ts";
import { Fd } from "../../../ffi/fs/fd.ts";
import { AT_FDCWD, lock, openAt, SystemError } from "../../../ffi/fs/fs.ts";
import { readOwnFile, removeAny, replaceFile } from "../../../ffi/fs/paths.ts";
import { ContainerError, messageOf } from "../../errors.ts";
import { isAlive, type ProcessIdentity } from "../../host/process_identity.ts";
import type { Attachment } from "../../network/allocate.ts";
import type { PublishedPort } from "../../network/ports.ts";
import type { RecordedOptions } from "../options.ts";
import { recordFault } from "./record_check.ts";
import { type MonitorState, readState } from "./monitor_state.ts";

/** Location of a process that this process cannot see: in another namespace, or on another machine. */
export type Elsewhere = "namespace" | "machine";

/** Ownership of a container while it is created, runs or is removed. */
export interface Ownership {
  /** The process that creates, runs or removes it; it does not outlive that process. */
  readonly owner: ProcessIdentity;
  /** The container's first process, once it runs. */
  readonly process?: ProcessIdentity;
  /** Where the owner is, if it is alive and this process cannot see it. Default: here. */
  readonly elsewhere?: Elsewhere;
  /** Whether one of the marks is invalid, so that the owner is unknown. */
  readonly damaged?: true;
}

/** The end of a container. */
export interface EndRecord {
  /** Time of exit, in ISO 8601. */
  readonly at: string;
  /** Exit status: 128 plus the signal number after a signal. */
  readonly code: number;
  /** The number of the signal that killed it. */
  readonly signal?: number;
  /** Whether the kernel killed one of its processes for lack of memory. */
  readonly oomKilled?: true;
  /** Whether no process saw the exit, and a later command recorded it. */
  readonly lost?: true;
}

/** Descriptors of a monitor, by number, which other commands copy with `pidfd_getfd(2)`. */
export interface Detached {
  /** The write end of the container's standard input. Default: closed. */
  readonly input?: number;
  /** The master side of the container's terminal. Default: none. */
  readonly terminal?: number;
  /** The job of the monitor. Default: none yet. */
  readonly job?: number;
}

/** `container.json`. */
export interface ContainerRecord {
  /** Version of the file format. */
  readonly version: 1;
  /** Id: twelve hexadecimal digits; also the name of its directory. */
  readonly id: string;
  /** Name given by the user. Default: none. */
  readonly name?: string;
  /** Image name as given by the user. */
  readonly image: string;
  /** Digest of the image's manifest, for an image from the store. */
  readonly imageDigest?: string;
  /** Layer directories of the image, uppermost first. */
  readonly lower: readonly string[];
  /** Layers above those of the image, uppermost first: the changes up to each fork. */
  readonly layers?: readonly string[];
  /** The uppermost of these layers while it is being made from the container's upper directory. */
  readonly forking?: string;
  /** Creation time of the first container in its line of forks. Default: it is not a fork. */
  readonly line?: string;
  /** The command and its arguments. */
  readonly command: readonly string[];
  /** Options, with defaults from the image. */
  readonly options: RecordedOptions;
  /** Creation time, in ISO 8601. */
  readonly created: string;
  /** Whether its directory is kept after it has exited. */
  readonly keep: boolean;
  /** Control groups created for it, as absolute paths. */
  readonly cgroups: readonly string[];
  /** Whether its memory limit was set so late that its group does not account for all of its memory. */
  readonly countedLate?: true;
  /** Its interfaces on bridged networks. Default: none. */
  readonly networks?: readonly Attachment[];
  /** Its published ports. Default: none. */
  readonly ports?: readonly PublishedPort[];
  /** Its end. Default: it has not exited. */
  readonly ended?: EndRecord;
  /** Descriptors of its monitor since it was last started detached. Default: it never was. */
  readonly detached?: Detached;
  /** State reported by its monitor; not part of the file. */
  readonly state?: MonitorState;
}

/** State of a container. */
export type ContainerStatus = "created" | "running" | "restarting" | "exited" | "elsewhere" | "damaged";

const FILE = "container.json";

/** Returns whether the owner may still be alive. */
export function ownerIsAlive({ owner, elsewhere, damaged }: Ownership): boolean {
  return elsewhere !== undefined || damaged === true || isAlive(owner);
}

/** Returns whether the container's first process is visible and alive. */
export function isRunning({ process }: Ownership): boolean {
  return process !== undefined && isAlive(process);
}

/** Returns the state of a container. */
export function statusOf(
  { ended, detached, state }: ContainerRecord,
  ownership: Ownership | undefined,
): ContainerStatus {
  if (ended) return "exited";
  if (!ownership) return detached && state?.status === "created" ? "created" : "exited";
  if (ownership.elsewhere) return "elsewhere";
  if (ownership.damaged) return "damaged";
  if (ownership.process && isRunning(ownership)) return "running";
  if (!ownerIsAlive(ownership)) return "exited";
  if (state?.status === "restarting") return "restarting";
  return ownership.process ? "exited" : "created";
}

/** Returns whether a container was prepared ahead of its command and has not received it: nothing has run in it. */
export function awaitsCommand({ command }: Pick<ContainerRecord, "command">): boolean {
  return command.length === 0;
}

/** Returns all directories below the container's upper one, uppermost first. */
export function lowerOf({ layers = [], lower }: Pick<ContainerRecord, "layers" | "lower">): readonly string[] {
  return [...layers, ...lower];
}

/** Writes the record into the container's directory, replacing the previous one. */
export function writeRecord(folder: string, { state: _, ...record }: ContainerRecord): void {
  replaceFile(`${folder}/${FILE}`, JSON.stringify(record, null, 2) + "\n");
}

/** Removes the record: the directory is no longer a container, only a remainder to be removed. */
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
  return new ContainerError(`container ${id} is damaged: invalid record ${folder}/${FILE}: ${why}`, {
    code: "bad-record",
    facts: { id, folder, why },
    hint: `remove the container with its files: sauropod rm -f ${id}; or use the version that created it`,
  });
}

/** Returns the record with the state from the monitor, and its end from there unless a command has recorded one. */
function withState(record: ContainerRecord, state: MonitorState | undefined): ContainerRecord {
  if (state?.status !== "exited" || record.ended) return { ...record, state };
  const { finishedAt = record.created, code = 0, signal, oomKilled } = state;
  const ended = { at: finishedAt, code, ...(signal ? { signal } : {}), ...(oomKilled ? { oomKilled } : {}) };
  return { ...record, state, ended };
}

/**
 * Reads the record in a container's directory; undefined if there is none.
 *
 * @throws {ContainerError} `bad-record` if the file is not a valid record.
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

function openDirectory(path: string): Fd | undefined {
  try {
    return new Fd(openAt(AT_FDCWD, path, flags("O", "RDONLY", "DIRECTORY")));
  } catch (error) {
    if (error instanceof SystemError && error.code === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * Runs `work` with the record in a container's directory under an exclusive lock. Returns undefined if there is no record.
 * `work` must not wait: other commands that change the record are blocked meanwhile.
 *
 * @throws {ContainerError} `bad-record`, and what `work` throws.
 */
export function withRecord<T>(folder: string, work: (record: ContainerRecord) => T): T | undefined {
  using directory = openDirectory(folder);
  if (!directory) return undefined;
  lock(directory.number, "exclusive");
  const record = readRecord(folder);
  return record && work(record);
}

/**
 * Reads the record of an exited container again, with the control groups and limits that it was given while it ran. Later
 * holders of the lock see that it has exited, and add no more.
 */
export function lastRecord(folder: string, record: ContainerRecord): ContainerRecord {
  try {
    return withRecord(folder, (current) => current) ?? record;
  } catch (error) {
    if (error instanceof ContainerError) return record;
    throw error;
  }
}
