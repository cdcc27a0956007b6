/**
 * The folder of containers: making and removing them, and whose they are meanwhile.
 *
 *     ID/container.json, upper/, work/    a container
 *     ID/volumes/                         volumes of its own
 *     .live/ID -> ORIGIN OWNER            it is being made, runs or is being removed
 *     .live/ID.process -> ORIGIN PROCESS  its first process
 *     .live/ID.freeze -> ORIGIN PROCESS   who has frozen it for a moment
 *     .lock                               is locked where somebody has one: see `claims.ts`
 *     .names/NAME -> ID                   the name of one
 *
 * @module
 */

import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, lock, openAt, removeTree, S_IF } from "../../../ffi/fs/fs.ts";
import { isFolder, makeLink, ownershipOf, readLink, removeAny, removeFile } from "../../../ffi/fs/paths.ts";
import { randomBytes } from "../../../ffi/process/random.ts";
import { ContainerError, messageOf } from "../../errors.ts";
import { acquireLock, type Claim, isLocked, releaseLock } from "./owner_locks.ts";
import { lazy } from "../../lazy.ts";
import { requireTrusted } from "../../host/trust.ts";
import { recordEvent } from "./event.ts";
import { namesIn } from "../../host/sample.ts";
import {
  decodeIdentity,
  distanceOf,
  encodeIdentity,
  identifyProcess,
  isAlive,
  ownOrigin,
  type ProcessIdentity,
} from "../../host/process_identity.ts";
import {
  type ContainerRecord,
  type Elsewhere,
  ownerIsAlive,
  type Ownership,
  removeRecord,
  writeRecord,
} from "./record.ts";

const LIVE = ".live", PROCESS = ".process", FREEZE = ".freeze";

/** A fresh id: twelve hexadecimal digits. */
export function newId(): string {
  return randomBytes(6).toHex();
}

let self: Required<ProcessIdentity> | undefined;

function ownMark(): Required<ProcessIdentity> {
  self ??= identifyProcess(Deno.pid);
  if (!self) throw new ContainerError("/proc does not show this process", { code: "no-proc", hint: "mount /proc" });
  return self;
}

function readMark(path: string): ReturnType<typeof decodeIdentity> {
  const text = readLink(path);
  return text === undefined ? undefined : decodeIdentity(text);
}

/**
 * Where the process of a mark is that we cannot see; undefined if we can, or if it is gone. Another boot of this machine
 * has ended with all that ran in it. A claim is seen from everywhere; but of another machine that has none, nobody knows.
 */
function elsewhere(
  containers: string,
  id: string,
  { origin }: Required<ProcessIdentity>,
  what: Claim,
): Elsewhere | undefined {
  if (origin === ownOrigin()) return undefined;
  const distance = distanceOf(origin);
  if (distance === "machine") return "machine";
  if (!isLocked(containers, id, what)) return undefined;
  return distance === "namespace" ? "namespace" : "machine";
}

const NOBODY: ProcessIdentity = { pid: 0, startTime: 0, origin: "" };

/** Whose the container `id` is; undefined if nothing happens with it. */
export function readOwnership(containers: string, id: string): Ownership | undefined {
  const path = `${containers}/${LIVE}/${id}`;
  let text = readLink(path);
  const first = readLink(`${path}${PROCESS}`);
  if (text === undefined && first === undefined) return undefined;
  // Made between the two looks.
  text ??= readLink(path);
  const owner = decodeIdentity(text ?? ""), process = first === undefined ? undefined : decodeIdentity(first);
  if (!owner || (first !== undefined && !process)) {
    return { owner: owner ?? NOBODY, ...(process ? { process } : {}), damaged: true };
  }
  const where = elsewhere(containers, id, owner, "container");
  return {
    owner,
    ...(process?.origin === owner.origin ? { process } : {}),
    ...(where === undefined ? {} : { elsewhere: where }),
  };
}

/** Who has frozen the container `id` for a moment; undefined if nobody has. */
export function freezerOf(containers: string, id: string): Ownership | undefined {
  const owner = readMark(`${containers}/${LIVE}/${id}${FREEZE}`);
  if (!owner) return undefined;
  const where = elsewhere(containers, id, owner, "freeze");
  return { owner, ...(where === undefined ? {} : { elsewhere: where }) };
}

const ID = /^[0-9a-f]{12}$/, OWNED = /^[0-9a-f]{12}(\.freeze)?$/;

/** Whether the container `id` is marked as somebody's who is gone. */
export function isAbandoned(containers: string, id: string): boolean {
  const liveness = readOwnership(containers, id);
  return liveness !== undefined && !ownerIsAlive(liveness);
}

/** Whether the mark that `name` says in the folder of marks, `ID` or `ID.freeze`, is of somebody who is gone. */
function isStale(containers: string, name: string): boolean {
  if (!name.endsWith(FREEZE)) return isAbandoned(containers, name);
  const freezer = freezerOf(containers, name.slice(0, 12));
  return freezer !== undefined && !ownerIsAlive(freezer);
}

/**
 * The ids of containers that commands left when they were killed, or left frozen. It looks at live ones only, and at no
 * more than `most` marks of them, chosen at random. `but` is known to be none.
 */
export function abandonedIds(containers: string, most = Infinity, but?: string): string[] {
  // One that runs has two.
  const names = namesIn(`${containers}/${LIVE}`, 2 * most).filter((name) => name !== but && OWNED.test(name));
  const marks = names.slice(0, most);
  return [...new Set(marks.filter((name) => isStale(containers, name)).map((name) => name.slice(0, 12)))];
}

/** The ids of containers that have marks. */
export function liveIds(containers: string): string[] {
  const ids = namesIn(`${containers}/${LIVE}`).flatMap((name) => /^([0-9a-f]{12})(\.process)?$/.exec(name)?.[1] ?? []);
  return [...new Set(ids)];
}

/** The ids of containers whose marks do not say whose they are. */
export function damagedMarks(containers: string): string[] {
  return liveIds(containers).filter((id) => readOwnership(containers, id)?.damaged);
}

/** Removes marks that say nothing of a container any more: halves of changes whose maker was killed. */
export function removeStaleMarks(containers: string): void {
  const names = namesIn(`${containers}/${LIVE}`), ids = new Set(names.filter((name) => ID.test(name)));
  for (const name of names) {
    if (ids.has(name.slice(0, 12))) continue;
    const owner = readMark(`${containers}/${LIVE}/${name}`);
    const [, id] = /^\.?([0-9a-f]{12})(?:\.|$)/.exec(name) ?? [];
    if (id === undefined) continue;
    if (!owner) {
      // What is no mark goes with the container.
      if (!isFolder(`${containers}/${id}`)) removeAny(`${containers}/${LIVE}/${name}`);
      continue;
    }
    const where = elsewhere(containers, id, owner, "container");
    const maker = readOwnership(containers, id);
    if (where === undefined && !isAlive(owner) && (!maker || !ownerIsAlive(maker))) {
      removeFile(`${containers}/${LIVE}/${name}`);
    }
  }
}

/** Says that the container `id` is ours; false if it is somebody's already, whatever the marks say. */
export function claim(containers: string, id: string): boolean {
  const live = `${containers}/${LIVE}`;
  if (!isFolder(live)) {
    Deno.mkdirSync(live, { recursive: true, mode: 0o700 });
    // Somebody else may have made one above, where everybody can.
    requireTrusted(containers);
  }
  const mark = encodeIdentity(ownMark());
  // Before the mark: one that nobody has a claim to is nobody's for those who see it from elsewhere.
  if (!acquireLock(containers, id)) return false;
  try {
    if (makeLink(mark, `${live}/${id}`)) return true;
  } catch (error) {
    releaseLock(containers, id);
    throw error;
  }
  if (!isOurs(containers, id)) releaseLock(containers, id);
  return false;
}

function isOurs(containers: string, id: string): boolean {
  const owner = readOwnership(containers, id)?.owner, own = ownMark();
  return owner?.pid === own.pid && owner.startTime === own.startTime && owner.origin === own.origin;
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
export function takeOver(containers: string, id: string): boolean {
  const temporary = `${containers}/${LIVE}/.${id}.${Deno.pid}`;
  return withMarks(containers, () => {
    const liveness = readOwnership(containers, id);
    if (!liveness || ownerIsAlive(liveness)) return false;
    try {
      acquireLock(containers, id, "container", "the dead");
      removeFile(temporary);
      Deno.symlinkSync(encodeIdentity(ownMark()), temporary);
      Deno.renameSync(temporary, `${containers}/${LIVE}/${id}`);
    } catch {
      // A full disk must not keep anything from being taken away.
    }
    return true;
  });
}

/** Makes the container `id` ours unless it is already; false if somebody alive has it. */
function claimOrTakeOver(containers: string, id: string): boolean {
  try {
    if (claim(containers, id)) return true;
  } catch {
    // A full disk must not keep anything from being removed.
    return true;
  }
  return isOurs(containers, id) || takeOver(containers, id);
}

/** Says which the first process of the container `id` is. */
export function setProcess(containers: string, id: string, process: ProcessIdentity | undefined): void {
  if (process) Deno.symlinkSync(encodeIdentity(process), `${containers}/${LIVE}/${id}${PROCESS}`);
}

/** Says that we freeze the container `id` for a moment; for use under the lock of marks ({@linkcode withMarks}). */
export function setFreezer(containers: string, id: string): void {
  acquireLock(containers, id, "freeze");
  Deno.symlinkSync(encodeIdentity(ownMark()), `${containers}/${LIVE}/${id}${FREEZE}`);
}

/** Says that nobody freezes the container `id` any more. */
export function clearFreeze(containers: string, id: string): void {
  removeFile(`${containers}/${LIVE}/${id}${FREEZE}`);
  releaseLock(containers, id, "freeze");
}

/** Leaves the container `id` to its monitor, whose mark is there. */
export function handOver(containers: string, id: string): void {
  releaseLock(containers, id);
}

/** Says that nothing happens with the container `id` any more. */
export function clearLiveness(containers: string, id: string): void {
  // First: who finds no mark must find no claim.
  releaseLock(containers, id);
  removeAny(`${containers}/${LIVE}/${id}${PROCESS}`);
  removeAny(`${containers}/${LIVE}/${id}`);
}

/** Replaces the marks of the container `id`, whatever is in their place; for use under {@linkcode withMarks}. */
export function replaceMarks(
  containers: string,
  id: string,
  owner: ProcessIdentity | undefined,
  process: ProcessIdentity | undefined,
): void {
  removeAny(`${containers}/${LIVE}/${id}${PROCESS}`);
  removeAny(`${containers}/${LIVE}/${id}`);
  if (owner) Deno.symlinkSync(encodeIdentity(owner), `${containers}/${LIVE}/${id}`);
  if (owner) setProcess(containers, id, process);
}

function makeFolder(containers: string, record: ContainerRecord): void {
  try {
    claim(containers, record.id);
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
  if (!claimOrTakeOver(containers, id)) return false;
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
  // Through a link, another container's would be removed.
  if (((ownershipOf(folder, true)?.mode ?? 0) & S_IF.MT) === S_IF.DIR) removeRecord(folder);
  recordEvent(containers, "destroy", { id, name, image });
  await removeTree(folder);
  clearLiveness(containers, id);
}
