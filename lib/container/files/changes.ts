/**
 * Changes of a container (diff): the upper directory of its overlay compared with its image.
 *
 * @module
 */

import { Fd } from "../../../ffi/fs/fd.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, openAt } from "../../../ffi/fs/fs.ts";
import { openDirectory } from "../../tar/tree.ts";
import { mergeChanges } from "./merge_changes.ts";
import { findContainer } from "../state/names.ts";
import type { ContainerRecord } from "../state/record.ts";
import { openImage } from "./rootfs_mount.ts";
import { walkChanges } from "./walk_changes.ts";

/** The type of a file. */
export type FileKind = "file" | "folder" | "link" | "fifo" | "socket" | "character device" | "block device";

/** The metadata of a file. */
export interface FileState {
  /** The type. */
  readonly type: FileKind;
  /** Permission bits, with set-user-ID, set-group-ID and sticky (07777). */
  readonly mode: number;
  /** The owner's user ID. */
  readonly uid: number;
  /** The owner's group ID. */
  readonly gid: number;
  /** Size in bytes; 0 for a directory. */
  readonly size: number;
}

/** A change of one path. */
export interface Change {
  /**
   * The kind of change. A directory that was added or deleted stands for its content; files added in it are listed too.
   */
  readonly kind: "added" | "changed" | "deleted";
  /** The absolute path. Bytes that are not UTF-8 are lone surrogates, U+DC80 to U+DCFF. */
  readonly path: string;
  /** The state before the change. Default: it was added. */
  readonly before?: FileState;
  /** The state after the change. Default: it was deleted. */
  readonly after?: FileState;
}

function openUpper(path: string): Fd {
  return new Fd(openAt(AT_FDCWD, path, flags("O", "RDONLY", "DIRECTORY", "NOFOLLOW")));
}

/** Returns the changes of one upper directory relative to those below it. */
function changesIn(record: ContainerRecord, folder: string, upper: string, lower: readonly string[]): Change[] {
  using place = openUpper(upper);
  using image = new Fd(openImage(folder, lower));
  using above = new Fd(openDirectory(place.number, "."));
  return walkChanges(record, above.number, image.number);
}

/**
 * Returns the changes of a container that is not started meanwhile, by path.
 *
 * @throws {ContainerError} `view-failed`, `too-deep`, `overlay-redirect`, `changes-unknown`.
 */
export function changesOfRecord(containers: string, record: ContainerRecord): Change[] {
  const folder = `${containers}/${record.id}`, { layers = [], lower } = record;
  const uppers = [`${folder}/upper`, ...layers];
  return uppers.map((upper, i) => changesIn(record, folder, upper, [...layers.slice(i), ...lower])).reverse()
    .reduce(mergeChanges);
}

/**
 * Returns the changes of the container that `query` names, by path; directories come before their content. Mounts and
 * the mount points made for them are not changes. The container may be running.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, and those of {@linkcode changesOfRecord}.
 */
export function changesOf(containers: string, query: string): Change[] {
  return changesOfRecord(containers, findContainer(containers, query));
}

/** Runs `work` on an open directory of all changes of a container, to read added and changed files. */
export async function withChanged<T>(
  containers: string,
  record: ContainerRecord,
  work: (changed: number) => T | Promise<T>,
): Promise<T> {
  const folder = `${containers}/${record.id}`, { layers = [] } = record;
  using changed = layers.length === 0
    ? openUpper(`${folder}/upper`)
    : new Fd(openImage(folder, [`${folder}/upper`, ...layers]));
  return await work(changed.number);
}
