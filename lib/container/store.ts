/**
 * The folder of containers: one folder each, names, and finding them again.
 *
 * @module
 */

import { flags } from "../../ffi/flags.ts";
import { AT_FDCWD, close, lock, openAt } from "../../ffi/fs.ts";
import { ContainerError } from "../errors.ts";
import { type ContainerRecord, markProcess, type ProcessMark, readRecord, writeRecord } from "./record.ts";

const NAMES = ".names", LOCK = ".lock", NEW = ".new-";
const ID = /^[0-9a-f]{12}$/;

/** Whether `id` is a container's id: twelve hexadecimal digits. */
export function isId(id: string): boolean {
  return ID.test(id);
}

/** A fresh id. */
export function newId(): string {
  return crypto.getRandomValues(new Uint8Array(6)).toHex();
}

let self: ProcessMark | undefined;

/** The mark of the running process. */
export function ownMark(): ProcessMark {
  self ??= markProcess(Deno.pid);
  if (!self) throw new ContainerError("/proc does not show this process", { code: "no-proc" });
  return self;
}

/** Runs `work` while no other process changes names in `containers`. */
export function withLock<T>(containers: string, work: () => T): T {
  const fd = openAt(AT_FDCWD, `${containers}/${LOCK}`, flags("O", "RDWR", "CREAT"), 0o600);
  try {
    lock(fd, "exclusive");
    return work();
  } finally {
    close(fd);
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function removeFile(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** The id of the container that has `name`; undefined if none has. */
export function idOfName(containers: string, name: string): string | undefined {
  try {
    const id = Deno.readLinkSync(`${containers}/${NAMES}/${name}`);
    return exists(`${containers}/${id}`) ? id : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** The folder is complete with its record when it first shows under its id. */
function makeFolder(containers: string, record: ContainerRecord): void {
  const { pid, startTime } = record.owner;
  const fresh = `${containers}/${NEW}${record.id}-${pid}-${startTime}`;
  try {
    Deno.mkdirSync(fresh, { mode: 0o700 });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    Deno.mkdirSync(fresh, { mode: 0o700, recursive: true });
  }
  writeRecord(fresh, record);
  Deno.renameSync(fresh, `${containers}/${record.id}`);
}

/**
 * Makes a container's folder with its record in it, and takes its name.
 *
 * @throws {ContainerError} `name-taken`.
 */
export function createContainer(containers: string, record: ContainerRecord): void {
  const { name, id } = record;
  if (name === undefined) return makeFolder(containers, record);
  Deno.mkdirSync(`${containers}/${NAMES}`, { recursive: true, mode: 0o700 });
  withLock(containers, () => {
    const holder = idOfName(containers, name);
    if (holder !== undefined) {
      throw new ContainerError(`the name ${name} is taken by container ${holder}`, {
        code: "name-taken",
        facts: { name, holder },
        hint: `choose another name, or remove that container: sauropod rm ${name}`,
      });
    }
    makeFolder(containers, record);
    removeFile(`${containers}/${NAMES}/${name}`);
    Deno.symlinkSync(id, `${containers}/${NAMES}/${name}`);
  });
}

/** Gives a container's name back and takes its folder out of sight; returns where the folder is now, if it was there. */
function hideContainer(containers: string, { id, name }: Pick<ContainerRecord, "id" | "name">): string | undefined {
  if (name !== undefined) {
    withLock(containers, () => {
      if (idOfName(containers, name) === id) removeFile(`${containers}/${NAMES}/${name}`);
    });
  }
  const { pid, startTime } = ownMark();
  const hidden = `${containers}/${NEW}${id}-${pid}-${startTime}`;
  try {
    Deno.renameSync(`${containers}/${id}`, hidden);
    return hidden;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Removes a container's folder and gives its name back. Its processes and control groups must be gone. */
export function removeContainer(containers: string, record: Pick<ContainerRecord, "id" | "name">): void {
  const hidden = hideContainer(containers, record);
  if (hidden !== undefined) Deno.removeSync(hidden, { recursive: true });
}

/**
 * Like {@linkcode removeContainer}, but only the name and the sight of the folder are gone at once; the promise
 * resolves when the files are too. Freeing blocks takes milliseconds on some file systems.
 */
export async function removeContainerLater(
  containers: string,
  record: Pick<ContainerRecord, "id" | "name">,
): Promise<void> {
  const hidden = hideContainer(containers, record);
  if (hidden !== undefined) await Deno.remove(hidden, { recursive: true });
}

/** Every container's record, oldest first; folders with damaged records are handed to `damaged`. */
export function listContainers(containers: string, damaged: (id: string) => void = () => {}): ContainerRecord[] {
  const records: ContainerRecord[] = [];
  for (const { name } of entries(containers)) {
    if (!isId(name)) continue;
    try {
      const record = readRecord(`${containers}/${name}`);
      if (record) records.push(record);
    } catch (error) {
      if (!(error instanceof ContainerError)) throw error;
      damaged(name);
    }
  }
  return records.sort((a, b) => a.created < b.created ? -1 : 1);
}

function entries(folder: string): Deno.DirEntry[] {
  try {
    return [...Deno.readDirSync(folder)];
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Folders that were being made or removed by a process that has ended. */
export function abandonedFolders(
  containers: string,
  isOwnerAlive: (pid: number, startTime: number) => boolean,
): string[] {
  return entries(containers).flatMap(({ name }) => {
    const [, pid, start] = /^\.new-[0-9a-f]{12}-(\d+)-(\d+)$/.exec(name) ?? [];
    if (pid === undefined || isOwnerAlive(Number(pid), Number(start))) return [];
    return [`${containers}/${name}`];
  });
}

/** Removes names that belong to no container. */
export function removeStaleNames(containers: string): void {
  const names = entries(`${containers}/${NAMES}`);
  if (names.length === 0) return;
  withLock(containers, () => {
    for (const { name } of names) {
      if (idOfName(containers, name) === undefined) removeFile(`${containers}/${NAMES}/${name}`);
    }
  });
}

/**
 * Finds the container that `query` names: its name, its id, or the beginning of just one id.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`.
 */
export function findContainer(containers: string, query: string): ContainerRecord {
  const named = /^[\w.-]+$/.test(query) ? idOfName(containers, query) : undefined;
  const ids = named
    ? [named]
    : entries(containers).map(({ name }) => name).filter((name) =>
      isId(name) && query !== "" && name.startsWith(query)
    );
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
