/**
 * The files of containers, for scripts.
 *
 * @module
 */

import type { ApplyOptions, ApplyResult } from "../container/files/apply.ts";
import type { Change } from "../container/files/changes.ts";
import type { CopyResult } from "../container/files/copy.ts";
import type { CopyFileOptions } from "../container/files/files.ts";
import type { FolderOptions } from "../host/folders.ts";
import { lazy } from "../lazy.ts";
import { type ContainerReference, queryOf } from "./reference.ts";

/**
 * Copies files into a container, whether it runs or not, by the rules of `docker cp`: `source` is a path of this machine,
 * or the bytes of a tar archive, perhaps compressed, which is unpacked in the folder `target`.
 *
 * @throws {InputError} for `source`, {@linkcode ContainerError} for the container and `target`; their `code` says why.
 */
export async function copyTo(
  container: ContainerReference,
  source: string | ReadableStream<Uint8Array<ArrayBuffer>>,
  target: string,
  options: CopyFileOptions = {},
): Promise<CopyResult> {
  const { copyTo } = await lazy.files();
  return await copyTo(queryOf(container), source, target, options);
}

/**
 * Copies files of a container to this machine, by the rules of `docker cp`. What they are called and where their links
 * lead cannot make it write anywhere but at `target`.
 *
 * @throws {ContainerError} for the container and `source`, {@linkcode InputError} for `target`; their `code` says why.
 */
export async function copyFrom(
  container: ContainerReference,
  source: string,
  target: string,
  options: CopyFileOptions = {},
): Promise<CopyResult> {
  const { copyFrom } = await lazy.files();
  return await copyFrom(queryOf(container), source, target, options);
}

/**
 * Writes a tar archive to `output`, which stays open: of the path `source` of a container, or by default of all its files
 * without what is mounted in it.
 *
 * @throws {ContainerError} as {@linkcode copyFrom}.
 */
export async function exportTar(
  container: ContainerReference,
  output: WritableStream<Uint8Array<ArrayBuffer>>,
  options: CopyFileOptions & {
    /** The path. Default: everything. */
    source?: string;
  } = {},
): Promise<void> {
  const { exportTar } = await lazy.files();
  await exportTar(queryOf(container), output, options);
}

/**
 * What a container has changed in its image's files, by path.
 *
 * @throws {ContainerError} if there is no such container, or its image is gone.
 */
export async function changes(container: ContainerReference, options: FolderOptions = {}): Promise<Change[]> {
  const { changes } = await lazy.files();
  return await changes(queryOf(container), options);
}

/**
 * Writes what a container of the image `host` has changed to this machine: each file at once or not at all, and nothing
 * if something that would be touched was changed here since the container was made. It must have ended.
 *
 * @throws {ContainerError} if it is of another image or runs, or if something could not be written.
 */
export async function apply(
  container: ContainerReference,
  options: ApplyOptions & FolderOptions = {},
): Promise<ApplyResult> {
  const { apply } = await lazy.files();
  return await apply(queryOf(container), options);
}
