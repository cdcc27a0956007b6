/**
 * Names of containers, and looking up containers by name or id.
 *
 * @module
 */

import { flags } from "../../../ffi/program/flags.ts";
import { Fd } from "../../../ffi/fs/fd.ts";
import { AT_FDCWD, lock, openAt } from "../../../ffi/fs/fs.ts";
import { ownershipOf, readLink, removeAny } from "../../../ffi/fs/paths.ts";
import { ContainerError } from "../../errors.ts";
import { noSuchContainer } from "./errors.ts";
import { type ContainerRecord, readRecord, withRecord, writeRecord } from "./record.ts";
import { readOwnership } from "./ownership.ts";
import { namesIn } from "../../host/sample.ts";

const NAMES = ".names", LOCK = ".lock";
const ID = /^[0-9a-f]{12}$/, NAME = /^\w[\w.-]*$/;

/** Runs `work` under the exclusive lock of the names in `containers`. */
function withLock<T>(containers: string, work: () => T): T {
  Deno.mkdirSync(`${containers}/${NAMES}`, { recursive: true, mode: 0o700 });
  const how = flags("O", "RDWR", "CREAT", "NOFOLLOW", "NONBLOCK");
  using file = new Fd(openAt(AT_FDCWD, `${containers}/${NAMES}/${LOCK}`, how, 0o600));
  lock(file.number, "exclusive");
  return work();
}

/** Returns whether a path exists, without following a symbolic link at its end. */
function exists(path: string): boolean {
  return ownershipOf(path, true) !== undefined;
}

/** Returns the id of the container that has or had `name`; undefined if it is free or invalid. */
export function holderOf(containers: string, name: string): string | undefined {
  if (!NAME.test(name)) return undefined;
  const id = readLink(`${containers}/${NAMES}/${name}`);
  return id !== undefined && ID.test(id) ? id : undefined;
}

/** Returns the name of container `id` from the directory of names, for one without a valid record. */
export function nameOf(containers: string, id: string): string | undefined {
  return namesIn(`${containers}/${NAMES}`).find((name) => holderOf(containers, name) === id);
}

/** Returns the id of the container named `name`; undefined if there is none. One without a record is being removed. */
export function idOfName(containers: string, name: string): string | undefined {
  const id = holderOf(containers, name);
  return id !== undefined && exists(`${containers}/${id}/container.json`) ? id : undefined;
}

/**
 * Claims `name` for container `id`, which `create` creates under the lock.
 *
 * @throws {ContainerError} `name-taken`.
 */
export function claimName(containers: string, name: string, id: string, create: () => void): void {
  withLock(containers, () => {
    const holder = idOfName(containers, name);
    if (holder !== undefined) {
      throw new ContainerError(`name ${name} is already in use by container ${holder}`, {
        code: "name-taken",
        facts: { name, holder },
        hint: `use another name, or remove that container: sauropod rm ${name}`,
      });
    }
    create();
    removeAny(`${containers}/${NAMES}/${name}`);
    Deno.symlinkSync(id, `${containers}/${NAMES}/${name}`);
  });
}

/** Writes a record that was read earlier, with the current name of the container. */
export function writeWithName(containers: string, record: ContainerRecord): void {
  const folder = `${containers}/${record.id}`;
  withRecord(folder, ({ name }) => writeRecord(folder, { ...record, name }));
}

/** Releases `name` if container `id` has it. */
export function releaseName(containers: string, name: string, id: string): void {
  if (holderOf(containers, name) !== id) return;
  withLock(containers, () => {
    if (holderOf(containers, name) === id) removeAny(`${containers}/${NAMES}/${name}`);
  });
}

/** Removes the names that belong to no container. */
export function removeStaleNames(containers: string): void {
  const names = namesIn(`${containers}/${NAMES}`).filter((name) => name !== LOCK);
  if (names.every((name) => idOfName(containers, name) !== undefined)) return;
  withLock(containers, () => {
    for (const name of names) {
      if (idOfName(containers, name) === undefined) removeAny(`${containers}/${NAMES}/${name}`);
    }
  });
}

// Includes directories without a record.
function allIds(containers: string): string[] {
  return namesIn(containers).filter((name) => ID.test(name));
}

/** Lists the records of all containers, oldest first. Calls `damaged` with the ids of those with a damaged record. */
export function listContainers(containers: string, damaged: (id: string) => void = () => {}): ContainerRecord[] {
  const records = allIds(containers).flatMap((id) => {
    try {
      return readRecord(`${containers}/${id}`) ?? [];
    } catch (error) {
      if (!(error instanceof ContainerError)) throw error;
      damaged(id);
      return [];
    }
  });
  return records.sort((a, b) => a.created < b.created ? -1 : 1);
}

/** Lists the ids of directories without an owner and a record, which can only be removed. */
export function orphanedIds(containers: string): string[] {
  return allIds(containers).filter((id) =>
    !exists(`${containers}/${id}/container.json`) && readOwnership(containers, id) === undefined
  );
}

/**
 * Finds the container that `query` names: by its name, its id, or a unique prefix of its id.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`.
 */
export function findContainer(containers: string, query: string): ContainerRecord {
  const exact = ID.test(query) ? readRecord(`${containers}/${query}`) : undefined;
  if (exact) return exact;
  const named = idOfName(containers, query);
  const ids = named ? [named] : allIds(containers).filter((id) => query !== "" && id.startsWith(query));
  const [id, ...others] = ids;
  if (id !== undefined && others.length > 0) {
    throw new ContainerError(`ambiguous container id "${query}": it is a prefix of ${ids.length} ids`, {
      code: "container-ambiguous",
      facts: { query, ids },
      hint: `use a longer prefix: ${ids.slice(0, 5).join(", ")}`,
    });
  }
  const record = id === undefined ? undefined : readRecord(`${containers}/${id}`);
  if (record) return record;
  throw noSuchContainer(query, containers);
}
