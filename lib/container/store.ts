/**
 * The folder of containers: making and removing them, and whose they are meanwhile.
 *
 *     ID/container.json, upper/, work/    a container
 *     ID/volumes/                         volumes of its own
 *     .live/ID -> BOOT OWNER              it is being made, runs or is being removed
 *     .live/ID.process -> BOOT PROCESS    its first process
 *     .live/ID.freeze -> BOOT PROCESS     who has frozen it for a moment
 *     .names/NAME -> ID                   the name of one
 *
 * @module
 */

import { flags } from "../../ffi/flags.ts";
import { AT_FDCWD, close, lock, openAt, readNames, removeTree } from "../../ffi/fs.ts";
import { isFolder, makeLink, readLink, removeFile } from "../../ffi/paths.ts";
import { randomBytes } from "../../ffi/random.ts";
import { ContainerError, messageOf } from "../errors.ts";
import { lazy } from "../lazy.ts";
import { recordEvent } from "./event.ts";
import {
  type ContainerRecord,
  formatMark,
  isAlive,
  isOwned,
  type Liveness,
  markProcess,
  parseMark,
  type ProcessMark,
  removeRecord,
  writeRecord,
} from "./record.ts";

const LIVE = ".live", PROCESS = ".process", FREEZE = ".freeze";

/** A fresh id: twelve hexadecimal digits. */
export function newId(): string {
  return randomBytes(6).toHex();
}

let self: ProcessMark | undefined;

function ownMark(): ProcessMark {
  self ??= markProcess(Deno.pid);
  if (!self) throw new ContainerError("/proc does not show this process", { code: "no-proc", hint: "mount /proc" });
  return self;
}

/** Some of `items`, all if there are no more than `most`: a run of them from a random place on. */
export function some<T>(items: readonly T[], most: number): readonly T[] {
  if (items.length <= most) return items;
  const first = Math.floor(Math.random() * items.length);
  return [...items.slice(first, first + most), ...items.slice(0, Math.max(0, first + most - items.length))];
}

/** The names in a folder, at most `most`, chosen at random; none if it does not exist. */
export function namesIn(folder: string, most = Infinity): string[] {
  if (!isFolder(folder)) return [];
  const fd = openAt(AT_FDCWD, folder, flags("O", "RDONLY", "DIRECTORY"));
  try {
    return readNames(fd, (entries) => some(entries, most));
  } finally {
    close(fd);
  }
}

function readMark(path: string): ReturnType<typeof parseMark> {
  const text = readLink(path);
  return text === undefined ? undefined : parseMark(text);
}

/** Whose the container `id` is; undefined if nothing happens with it. */
export function livenessOf(containers: string, id: string): Liveness | undefined {
  const owner = readMark(`${containers}/${LIVE}/${id}`);
  if (!owner) return undefined;
  const process = readMark(`${containers}/${LIVE}/${id}${PROCESS}`);
  return { boot: owner.boot, owner: owner.mark, ...(process?.boot === owner.boot ? { process: process.mark } : {}) };
}

/** Who has frozen the container `id` for a moment; undefined if nobody has. */
export function freezerOf(containers: string, id: string): Liveness | undefined {
  const mark = readMark(`${containers}/${LIVE}/${id}${FREEZE}`);
  return mark && { boot: mark.boot, owner: mark.mark };
}

const ID = /^[0-9a-f]{12}$/, OWNED = /^[0-9a-f]{12}(\.freeze)?$/;

/** How many of others a command looks at on its way, so that it costs the same however many containers live. */
export const SAMPLE = 8;

/** Whether the container `id` is marked as somebody's who is gone. */
export function isAbandoned(containers: string, id: string): boolean {
  const liveness = livenessOf(containers, id);
  return liveness !== undefined && !isOwned(liveness);
}

/**
 * The ids of containers that commands left when they were killed, or left frozen. It looks at live ones only, and at no
 * more than `most` marks of them, chosen at random. `but` is known to be none.
 */
export function abandonedIds(containers: string, most = Infinity, but?: string): string[] {
  // One that runs has two.
  const names = namesIn(`${containers}/${LIVE}`, 2 * most).filter((name) => name !== but && OWNED.test(name));
  const marks = names.slice(0, most);
  return [...new Set(marks.filter((name) => isAbandoned(containers, name)).map((name) => name.slice(0, 12)))];
}

/** Removes marks that say nothing of a container any more: halves of changes whose maker was killed. */
export function removeStaleMarks(containers: string): void {
  const names = namesIn(`${containers}/${LIVE}`), ids = new Set(names.filter((name) => ID.test(name)));
  for (const name of names) {
    if (ids.has(name.slice(0, 12))) continue;
    const mark = readMark(`${containers}/${LIVE}/${name}`);
    const maker = livenessOf(containers, name.slice(1, 13))?.owner;
    if (mark && !isOwned({ boot: mark.boot, owner: mark.mark }) && (!maker || !isAlive(maker))) {
      removeFile(`${containers}/${LIVE}/${name}`);
    }
  }
}

/** Says that the container `id` is ours; false if it is somebody's already. */
export function own(containers: string, id: string): boolean {
  const live = `${containers}/${LIVE}`;
  if (!isFolder(live)) Deno.mkdirSync(live, { recursive: true, mode: 0o700 });
  return makeLink(formatMark(ownMark()), `${live}/${id}`);
}

/** Runs `work` while no mark changes hands: a mark is replaced only under this lock, also by monitors. */
export function withMarks<T>(containers: string, work: () => T): T {
  const fd = openAt(AT_FDCWD, `${containers}/${LIVE}`, flags("O", "RDONLY", "DIRECTORY"));
  try {
    lock(fd, "exclusive");
    return work();
  } finally {
    close(fd);
  }
}

/** Makes the container `id` ours whose owner is gone; false if it is no longer his: another has been quicker. */
export function inherit(containers: string, id: string): boolean {
  const temporary = `${containers}/${LIVE}/.${id}.${Deno.pid}`;
  return withMarks(containers, () => {
    const liveness = livenessOf(containers, id);
    if (!liveness || isOwned(liveness)) return false;
    try {
      removeFile(temporary);
      Deno.symlinkSync(formatMark(ownMark()), temporary);
      Deno.renameSync(temporary, `${containers}/${LIVE}/${id}`);
    } catch {
      // A full disk must not keep anything from being taken away.
    }
    return true;
  });
}

/** Makes the container `id` ours unless it is already; false if somebody alive has it. */
function take(containers: string, id: string): boolean {
  try {
    if (own(containers, id)) return true;
  } catch {
    // A full disk must not keep anything from being removed.
    return true;
  }
  const owner = livenessOf(containers, id)?.owner, { pid, startTime } = ownMark();
  return (owner?.pid === pid && owner.startTime === startTime) || inherit(containers, id);
}

/** Says which the first process of the container `id` is. */
export function setProcess(containers: string, id: string, process: ProcessMark | undefined): void {
  if (process) Deno.symlinkSync(formatMark(process), `${containers}/${LIVE}/${id}${PROCESS}`);
}

/** Says that we freeze the container `id` for a moment; for use under the lock of marks ({@linkcode withMarks}). */
export function setFreezer(containers: string, id: string): void {
  Deno.symlinkSync(formatMark(ownMark()), `${containers}/${LIVE}/${id}${FREEZE}`);
}

/** Says that nobody freezes the container `id` any more. */
export function clearFreeze(containers: string, id: string): void {
  removeFile(`${containers}/${LIVE}/${id}${FREEZE}`);
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
 * Takes away the container that has `name` if its command was killed and it is not to be kept. Not for use under the lock
 * of networks, which its place is given back under.
 */
export async function freeName(containers: string, name: string | undefined): Promise<void> {
  if (name === undefined) return;
  const { idOfName } = await lazy.names();
  const holder = idOfName(containers, name);
  if (holder === undefined || !isAbandoned(containers, holder)) return;
  const { reclaimThese } = await lazy.leftovers();
  await reclaimThese(containers, [holder]);
}

/**
 * Makes a container's folder with its record in it, and takes its name. It is ours from then on.
 *
 * @throws {ContainerError} `name-taken`, `containers-unwritable`, `volume-on-file`.
 */
export async function createContainer(containers: string, record: ContainerRecord): Promise<void> {
  const { id, name, options: { volumes = [] } } = record;
  if (name === undefined) makeFolder(containers, record);
  else {
    const { claimName } = await lazy.names();
    claimName(containers, name, id, () => makeFolder(containers, record));
  }
  if (volumes.every((volume) => volume.includes(":"))) return;
  const { makeVolumes } = await lazy.volumes();
  try {
    await makeVolumes(`${containers}/${id}`, record);
  } catch (error) {
    await removeContainer(containers, record);
    throw error;
  }
}

/**
 * Removes a container and gives its name back. Its processes and control groups must be gone. It is out of sight at
 * once; the promise resolves when its files are gone, which takes milliseconds where freed blocks are discarded. False:
 * somebody alive has it, so that nothing was done.
 */
export async function removeContainer(
  containers: string,
  { id, name, image }: Pick<ContainerRecord, "id" | "name"> & Partial<Pick<ContainerRecord, "image">>,
): Promise<boolean> {
  if (!take(containers, id)) return false;
  await removeOwn(containers, { id, name, image });
  return true;
}

/** Like {@linkcode removeContainer}, for one that is ours. */
export async function removeOwn(
  containers: string,
  { id, name, image }: Pick<ContainerRecord, "id" | "name"> & Partial<Pick<ContainerRecord, "image">>,
): Promise<void> {
  if (name !== undefined) {
    const { releaseName } = await lazy.names();
    releaseName(containers, name, id);
  }
  const folder = `${containers}/${id}`;
  removeRecord(folder);
  recordEvent(containers, "destroy", { id, name, image });
  await removeTree(folder);
  clearLiveness(containers, id);
}
