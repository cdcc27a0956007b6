/**
 * Names of containers, and finding containers by them or by ids.
 *
 * @module
 */

import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, lock, openAt } from "../../../ffi/fs/fs.ts";
import { ownershipOf, readLink, removeAny } from "../../../ffi/fs/paths.ts";
import { ContainerError } from "../../errors.ts";
import { type ContainerRecord, readRecord, withRecord, writeRecord } from "./record.ts";
import { readOwnership } from "./ownership.ts";
import { namesIn } from "../../host/sample.ts";

const NAMES = ".names", LOCK = ".lock";
const ID = /^[0-9a-f]{12}$/, NAME = /^\w[\w.-]*$/;

/** Runs `work` while no other process changes names in `containers`. */
function withLock<T>(containers: string, work: () => T): T {
  Deno.mkdirSync(`${containers}/${NAMES}`, { recursive: true, mode: 0o700 });
  const fd = openAt(
    AT_FDCWD,
    `${containers}/${NAMES}/${LOCK}`,
    flags("O", "RDWR", "CREAT", "NOFOLLOW", "NONBLOCK"),
    0o600,
  );
  try {
    lock(fd, "exclusive");
    return work();
  } finally {
    close(fd);
  }
}

/** Whether anything is at a path, also a link that leads nowhere. */
function exists(path: string): boolean {
  return ownershipOf(path, true) !== undefined;
}

/** Whose `name` is or was; undefined if it is free, or damaged. */
export function holderOf(containers: string, name: string): string | undefined {
  if (!NAME.test(name)) return undefined;
  const id = readLink(`${containers}/${NAMES}/${name}`);
  return id !== undefined && ID.test(id) ? id : undefined;
}

/** The name that the container `id` has, where its record does not tell. */
export function nameOf(containers: string, id: string): string | undefined {
  return namesIn(`${containers}/${NAMES}`).find((name) => holderOf(containers, name) === id);
}

/** The id of the container that has `name`; undefined if none has. One without a record is being removed. */
export function idOfName(containers: string, name: string): string | undefined {
  const id = holderOf(containers, name);
  return id !== undefined && exists(`${containers}/${id}/container.json`) ? id : undefined;
}

/**
 * Gives `name` to the container `id`, which `make` makes under the lock.
 *
 * @throws {ContainerError} `name-taken`.
 */
export function claimName(containers: string, name: string, id: string, make: () => void): void {
  withLock(containers, () => {
    const holder = idOfName(containers, name);
    if (holder !== undefined) {
      throw new ContainerError(`the name ${name} is taken by container ${holder}`, {
        code: "name-taken",
        facts: { name, holder },
        hint: `choose another name, or remove that container: sauropod rm ${name}`,
      });
    }
    make();
    removeAny(`${containers}/${NAMES}/${name}`);
    Deno.symlinkSync(id, `${containers}/${NAMES}/${name}`);
  });
}

/** Writes a record that was read a while ago, with the name that the container has by now. */
export function writeWithName(containers: string, record: ContainerRecord): void {
  const folder = `${containers}/${record.id}`;
  withRecord(folder, ({ name }) => writeRecord(folder, { ...record, name }));
}

/** Takes `name` away from the container `id`, if it has it. */
export function releaseName(containers: string, name: string, id: string): void {
  if (holderOf(containers, name) !== id) return;
  withLock(containers, () => {
    if (holderOf(containers, name) === id) removeAny(`${containers}/${NAMES}/${name}`);
  });
}

/** Removes names that belong to no container. */
export function removeStaleNames(containers: string): void {
  const names = namesIn(`${containers}/${NAMES}`).filter((name) => name !== LOCK);
  if (names.every((name) => idOfName(containers, name) !== undefined)) return;
  withLock(containers, () => {
    for (const name of names) {
      if (idOfName(containers, name) === undefined) removeAny(`${containers}/${NAMES}/${name}`);
    }
  });
}

// Also of folders without a record.
function allIds(containers: string): string[] {
  return namesIn(containers).filter((name) => ID.test(name));
}

/** Every container's record, oldest first; the ids of those with damaged records go to `damaged`. */
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

/** The ids of folders that nobody owns and that have no record: nothing can be done with them but remove them. */
export function orphanedIds(containers: string): string[] {
  return allIds(containers).filter((id) =>
    !exists(`${containers}/${id}/container.json`) && readOwnership(containers, id) === undefined
  );
}

/**
 * Finds the container that `query` names: its name, its id, or the beginning of just one id.
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
    throw new ContainerError(`${query} is the beginning of ${ids.length} containers' ids`, {
      code: "container-ambiguous",
      facts: { query, ids },
      hint: `write more of it: ${ids.slice(0, 5).join(", ")}`,
    });
  }
  const record = id === undefined ? undefined : readRecord(`${containers}/${id}`);
  if (record) return record;
  throw new ContainerError(`there is no container ${query} in ${containers}`, {
    code: "container-not-found",
    facts: { query, containers },
    hint: "sauropod ps -a lists them",
  });
}
