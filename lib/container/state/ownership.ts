/**
 * Ownership of containers, and the directory that holds them: creating, claiming, handing over and removing them.
 *
 *     ID/container.json, upper/, work/    a container
 *     ID/volumes/                         its anonymous volumes
 *     .live/ID -> ORIGIN OWNER            mark of its owner: it is being created, runs or is being removed
 *     .live/ID.process -> ORIGIN PROCESS  mark of its first process
 *     .live/ID.freeze -> ORIGIN PROCESS   mark of the process that froze it temporarily
 *     .lock                               locks of the owners, see `owner_locks.ts`
 *     .names/NAME -> ID                   its name
 *
 * @module
 */

import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, lock, openAt, removeTree, S_IF } from "../../../ffi/fs/fs.ts";
import { Fd } from "../../../ffi/fs/fd.ts";
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

/** Returns a new random id of twelve hexadecimal digits. */
export function newId(): string {
  return randomBytes(6).toHex();
}

let self: Required<ProcessIdentity> | undefined;

function ownIdentity(): Required<ProcessIdentity> {
  self ??= identifyProcess(Deno.pid);
  if (!self) throw new ContainerError("/proc does not show this process", { code: "no-proc", hint: "mount /proc" });
  return self;
}

function readMark(path: string): ReturnType<typeof decodeIdentity> {
  const text = readLink(path);
  return text === undefined ? undefined : decodeIdentity(text);
}

/**
 * Returns where the process of a mark is, if it may live and this process cannot see it; otherwise undefined. Processes of
 * another boot of this machine are dead. Locks are visible from everywhere, except perhaps those of another machine.
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

const UNKNOWN: ProcessIdentity = { pid: 0, startTime: 0, origin: "" };

/** Reads the ownership of container `id`; undefined if it has no owner. */
export function readOwnership(containers: string, id: string): Ownership | undefined {
  const path = `${containers}/${LIVE}/${id}`;
  let text = readLink(path);
  const first = readLink(`${path}${PROCESS}`);
  if (text === undefined && first === undefined) return undefined;
  // It may have been created between the two reads.
  text ??= readLink(path);
  const owner = decodeIdentity(text ?? ""), process = first === undefined ? undefined : decodeIdentity(first);
  if (!owner || (first !== undefined && !process)) {
    return { owner: owner ?? UNKNOWN, ...(process ? { process } : {}), damaged: true };
  }
  const where = elsewhere(containers, id, owner, "container");
  return {
    owner,
    ...(process?.origin === owner.origin ? { process } : {}),
    ...(where === undefined ? {} : { elsewhere: where }),
  };
}

/** Returns the owner of the temporary freeze of container `id`; undefined if there is none. */
export function freezerOf(containers: string, id: string): Ownership | undefined {
  const owner = readMark(`${containers}/${LIVE}/${id}${FREEZE}`);
  if (!owner) return undefined;
  const where = elsewhere(containers, id, owner, "freeze");
  return { owner, ...(where === undefined ? {} : { elsewhere: where }) };
}

const ID = /^[0-9a-f]{12}$/, OWNED = /^[0-9a-f]{12}(\.freeze)?$/;

/** Returns whether the owner of container `id` has died. */
export function isAbandoned(containers: string, id: string): boolean {
  const ownership = readOwnership(containers, id);
  return ownership !== undefined && !ownerIsAlive(ownership);
}

/** Returns whether the process of a mark, `ID` or `ID.freeze`, has died. */
function isStale(containers: string, name: string): boolean {
  if (!name.endsWith(FREEZE)) return isAbandoned(containers, name);
  const freezer = freezerOf(containers, name.slice(0, 12));
  return freezer !== undefined && !ownerIsAlive(freezer);
}

/**
 * Finds containers that commands left, or left frozen, when they were killed. Reads at most `most` marks, chosen at random,
 * and not that of `but`. Returns the ids.
 */
export function abandonedIds(containers: string, most = Infinity, but?: string): string[] {
  // A running container has two marks.
  const names = namesIn(`${containers}/${LIVE}`, 2 * most).filter((name) => name !== but && OWNED.test(name));
  const marks = names.slice(0, most);
  return [...new Set(marks.filter((name) => isStale(containers, name)).map((name) => name.slice(0, 12)))];
}

/** Removes marks of no container: partial changes of processes that were killed. */
export function removeStaleMarks(containers: string): void {
  const names = namesIn(`${containers}/${LIVE}`), ids = new Set(names.filter((name) => ID.test(name)));
  for (const name of names) {
    if (ids.has(name.slice(0, 12))) continue;
    const owner = readMark(`${containers}/${LIVE}/${name}`);
    const [, id] = /^\.?([0-9a-f]{12})(?:\.|$)/.exec(name) ?? [];
    if (id === undefined) continue;
    if (!owner) {
      // An invalid mark is kept as long as the container.
      if (!isFolder(`${containers}/${id}`)) removeAny(`${containers}/${LIVE}/${name}`);
      continue;
    }
    const where = elsewhere(containers, id, owner, "container");
    const ownership = readOwnership(containers, id);
    if (where === undefined && !isAlive(owner) && (!ownership || !ownerIsAlive(ownership))) {
      removeFile(`${containers}/${LIVE}/${name}`);
    }
  }
}

/** Claims container `id`. Returns false if another process owns it, by its mark or its lock. */
export function claim(containers: string, id: string): boolean {
  const live = `${containers}/${LIVE}`;
  if (!isFolder(live)) {
    Deno.mkdirSync(live, { recursive: true, mode: 0o700 });
    // In a world-writable parent another user may have created the directory.
    requireTrusted(containers);
  }
  const mark = encodeIdentity(ownIdentity());
  // The lock before the mark: seen from elsewhere, a mark without a lock has no living owner.
  if (!acquireLock(containers, id)) return false;
  try {
    if (makeLink(mark, `${live}/${id}`)) return true;
  } catch (error) {
    releaseLock(containers, id);
    throw error;
  }
  if (!isOwn(containers, id)) releaseLock(containers, id);
  return false;
}

function isOwn(containers: string, id: string): boolean {
  const owner = readOwnership(containers, id)?.owner, own = ownIdentity();
  return owner?.pid === own.pid && owner.startTime === own.startTime && owner.origin === own.origin;
}

/** Runs `work` under the lock that every process, including monitors, holds to replace a mark. */
export function withMarks<T>(containers: string, work: () => T): T {
  using directory = new Fd(openAt(AT_FDCWD, `${containers}/${LIVE}`, flags("O", "RDONLY", "DIRECTORY")));
  lock(directory.number, "exclusive");
  return work();
}

/** Takes over container `id` from a dead owner. Returns false if another process has been quicker. */
export function takeOver(containers: string, id: string): boolean {
  const temporary = `${containers}/${LIVE}/.${id}.${Deno.pid}`;
  return withMarks(containers, () => {
    const ownership = readOwnership(containers, id);
    if (!ownership || ownerIsAlive(ownership)) return false;
    try {
      acquireLock(containers, id, "container", "the dead");
      removeFile(temporary);
      Deno.symlinkSync(encodeIdentity(ownIdentity()), temporary);
      Deno.renameSync(temporary, `${containers}/${LIVE}/${id}`);
    } catch {
      // A full disk must not keep a container from being reclaimed.
    }
    return true;
  });
}

/** Claims container `id`, from a dead owner, too. Returns false if a living process owns it. */
function claimOrTakeOver(containers: string, id: string): boolean {
  try {
    if (claim(containers, id)) return true;
  } catch {
    // A full disk must not keep a container from being removed that no living process owns.
    const ownership = readOwnership(containers, id);
    return ownership === undefined || !ownerIsAlive(ownership) || isOwn(containers, id);
  }
  return isOwn(containers, id) || takeOver(containers, id);
}

/** Marks `process` as the first process of container `id`. */
export function setProcess(containers: string, id: string, process: ProcessIdentity | undefined): void {
  if (process) Deno.symlinkSync(encodeIdentity(process), `${containers}/${LIVE}/${id}${PROCESS}`);
}

/** Marks container `id` as frozen temporarily by this process. Must be called within {@linkcode withMarks}. */
export function setFreezer(containers: string, id: string): void {
  acquireLock(containers, id, "freeze");
  Deno.symlinkSync(encodeIdentity(ownIdentity()), `${containers}/${LIVE}/${id}${FREEZE}`);
}

/** Removes the mark of the temporary freeze of container `id`. */
export function clearFreeze(containers: string, id: string): void {
  removeFile(`${containers}/${LIVE}/${id}${FREEZE}`);
  releaseLock(containers, id, "freeze");
}

/** Hands container `id` over to its monitor, which has marked it. */
export function handOver(containers: string, id: string): void {
  releaseLock(containers, id);
}

/** Gives up the ownership of container `id`: removes its marks. */
export function clearOwnership(containers: string, id: string): void {
  // The lock first: without a mark there must be no lock.
  releaseLock(containers, id);
  removeAny(`${containers}/${LIVE}/${id}${PROCESS}`);
  removeAny(`${containers}/${LIVE}/${id}`);
}

/** Replaces the marks of container `id`. Must be called within {@linkcode withMarks}. */
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

function createDirectory(containers: string, record: ContainerRecord): void {
  try {
    claim(containers, record.id);
    Deno.mkdirSync(`${containers}/${record.id}`, { mode: 0o700 });
    writeRecord(`${containers}/${record.id}`, record);
  } catch (error) {
    throw new ContainerError(`cannot create a container in ${containers}: ${messageOf(error)}`, {
      code: "containers-unwritable",
      facts: { containers },
      hint:
        "choose another directory with --containers or SAUROPOD_HOME; sauropod doctor shows which rule chose this one",
      cause: error,
    });
  }
}

/**
 * Reclaims the container named `name` if its command was killed and it is not to be kept. Must not be called under the
 * lock of networks, which releasing its leases takes.
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
 * Creates a container's directory and record, and claims the container and its name for this process.
 *
 * @throws {ContainerError} `name-taken`, `containers-unwritable`, `volume-on-file`.
 */
export async function createContainer(containers: string, record: ContainerRecord): Promise<void> {
  const { id, name, options: { volumes = [] } } = record;
  if (name === undefined) createDirectory(containers, record);
  else {
    const { claimName } = await lazy.names();
    claimName(containers, name, id, () => createDirectory(containers, record));
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
 * Removes a container and releases its name. Its processes and control groups must have been removed. It disappears at
 * once; the promise resolves when its files are deleted, which takes milliseconds on a disk mounted with discard. Returns
 * false, having done nothing, if a living process owns it.
 */
export async function removeContainer(
  containers: string,
  { id, name, image }: Pick<ContainerRecord, "id" | "name"> & Partial<Pick<ContainerRecord, "image">>,
): Promise<boolean> {
  if (!claimOrTakeOver(containers, id)) return false;
  await removeOwn(containers, { id, name, image });
  return true;
}

/** Removes a container that this process owns, as {@linkcode removeContainer} does. */
export async function removeOwn(
  containers: string,
  { id, name, image }: Pick<ContainerRecord, "id" | "name"> & Partial<Pick<ContainerRecord, "image">>,
): Promise<void> {
  if (name !== undefined) {
    const { releaseName } = await lazy.names();
    releaseName(containers, name, id);
  }
  const folder = `${containers}/${id}`;
  // Through a symbolic link, another container's record would be removed.
  if (((ownershipOf(folder, true)?.mode ?? 0) & S_IF.MT) === S_IF.DIR) removeRecord(folder);
  recordEvent(containers, "destroy", { id, name, image });
  await removeTree(folder);
  clearOwnership(containers, id);
}
