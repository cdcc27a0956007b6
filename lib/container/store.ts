/**
 * The folder of containers: making and removing them, and whose they are meanwhile.
 *
 *     ID/container.json, upper/, work/    a container
 *     .live/ID -> BOOT OWNER              it is being made, runs or is being removed
 *     .live/ID.process -> BOOT PROCESS    its first process
 *     .names/NAME -> ID                   the name of one
 *
 * @module
 */

import { ContainerError, messageOf } from "../errors.ts";
import { lazy } from "../lazy.ts";
import { recordEvent } from "./event.ts";
import {
  type ContainerRecord,
  formatMark,
  isOwned,
  type Liveness,
  markProcess,
  parseMark,
  type ProcessMark,
  removeRecord,
  writeRecord,
} from "./record.ts";
import { removeFolder } from "./remove.ts";

const LIVE = ".live", PROCESS = ".process";

/** A fresh id: twelve hexadecimal digits. */
export function newId(): string {
  return crypto.getRandomValues(new Uint8Array(6)).toHex();
}

let self: ProcessMark | undefined;

function ownMark(): ProcessMark {
  self ??= markProcess(Deno.pid);
  if (!self) throw new ContainerError("/proc does not show this process", { code: "no-proc", hint: "mount /proc" });
  return self;
}

/** Removes a file or link; a missing one is fine. */
export function removeFile(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** The names in a folder; none if it does not exist. */
export function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function readMark(path: string): ReturnType<typeof parseMark> {
  try {
    return parseMark(Deno.readLinkSync(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Whose the container `id` is; undefined if nothing happens with it. */
export function livenessOf(containers: string, id: string): Liveness | undefined {
  const owner = readMark(`${containers}/${LIVE}/${id}`);
  if (!owner) return undefined;
  const process = readMark(`${containers}/${LIVE}/${id}${PROCESS}`);
  return { boot: owner.boot, owner: owner.mark, ...(process?.boot === owner.boot ? { process: process.mark } : {}) };
}

/** The ids of containers that commands left when they were killed. Quick: it looks at live ones only. */
export function abandonedIds(containers: string): string[] {
  return namesIn(`${containers}/${LIVE}`).filter((id) => {
    const liveness = id.endsWith(PROCESS) ? undefined : livenessOf(containers, id);
    return liveness !== undefined && !isOwned(liveness);
  });
}

/** Says that the container `id` is ours; false if it is somebody's already. */
export function own(containers: string, id: string): boolean {
  const link = (): void => Deno.symlinkSync(formatMark(ownMark()), `${containers}/${LIVE}/${id}`);
  try {
    link();
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    Deno.mkdirSync(`${containers}/${LIVE}`, { recursive: true, mode: 0o700 });
    link();
  }
  return true;
}

/** Says which the first process of the container `id` is. */
export function setProcess(containers: string, id: string, process: ProcessMark | undefined): void {
  if (process) Deno.symlinkSync(formatMark(process), `${containers}/${LIVE}/${id}${PROCESS}`);
}

/** Says that nothing happens with the container `id` any more. */
export function clearLiveness(containers: string, id: string): void {
  removeFile(`${containers}/${LIVE}/${id}${PROCESS}`);
  removeFile(`${containers}/${LIVE}/${id}`);
}

function makeFolder(containers: string, record: ContainerRecord): void {
  try {
    own(containers, record.id);
    Deno.mkdirSync(`${containers}/${record.id}`, { mode: 0o700 });
    writeRecord(`${containers}/${record.id}`, record);
  } catch (error) {
    throw new ContainerError(`a container cannot be made in ${containers}: ${messageOf(error)}`, {
      code: "containers-unwritable",
      facts: { containers },
      hint: "sauropod doctor says which rule chose this folder; --containers or SAUROPOD_HOME name another one",
      cause: error,
    });
  }
}

/**
 * Makes a container's folder with its record in it, and takes its name. It is ours from then on.
 *
 * @throws {ContainerError} `name-taken`, `containers-unwritable`.
 */
export async function createContainer(containers: string, record: ContainerRecord): Promise<void> {
  if (record.name === undefined) return makeFolder(containers, record);
  const { claimName } = await lazy.names();
  claimName(containers, record.name, record.id, () => makeFolder(containers, record));
}

/**
 * Removes a container and gives its name back. Its processes and control groups must be gone. It is out of sight at
 * once; the promise resolves when its files are gone, which takes milliseconds where freed blocks are discarded.
 */
export async function removeContainer(
  containers: string,
  { id, name, image }: Pick<ContainerRecord, "id" | "name"> & Partial<Pick<ContainerRecord, "image">>,
): Promise<void> {
  try {
    own(containers, id);
  } catch {
    // A full disk must not keep anything from being removed.
  }
  if (name !== undefined) {
    const { releaseName } = await lazy.names();
    releaseName(containers, name, id);
  }
  const folder = `${containers}/${id}`;
  removeRecord(folder);
  recordEvent(containers, "destroy", { id, name, image });
  await removeFolder(folder);
  clearLiveness(containers, id);
}
