/**
 * API of container files: cp, export, diff, apply.
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
 * Copies files into a running or stopped container, by the rules of `docker cp`: `source` is a path on the host, or the
 * bytes of a tar archive, compressed or not, which is unpacked into the directory `target`.
 *
 * @throws {InputError} for `source`, {@linkcode ContainerError} for the container and `target`, with a `code`.
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
 * Copies files from a container to the host, by the rules of `docker cp`. Neither their names nor their links can make it
 * write outside `target`.
 *
 * @throws {ContainerError} for the container and `source`, {@linkcode InputError} for `target`, with a `code`.
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
 * Writes a tar archive to `output`, which stays open: of the path `source` in a container, by default of all its files
 * without mounts.
 *
 * @throws {ContainerError} as {@linkcode copyFrom}.
 */
export async function exportTar(
  container: ContainerReference,
  output: WritableStream<Uint8Array<ArrayBuffer>>,
  options: CopyFileOptions & {
    /** The path. Default: the root, without mounts. */
    source?: string;
  } = {},
): Promise<void> {
  const { exportTar } = await lazy.files();
  await exportTar(queryOf(container), output, options);
}

/**
 * Returns the changes of a container relative to its image, by path.
 *
 * @throws {ContainerError} if the container does not exist, or its image is gone.
 */
export async function changes(container: ContainerReference, options: FolderOptions = {}): Promise<Change[]> {
  const { changes } = await lazy.files();
  return await changes(queryOf(container), options);
}

/**
 * Writes the changes of a container of the image `host` to the host: each file atomically, and nothing if a file that
 * would be written has changed on the host since the container was created. The container must have exited.
 *
 * @throws {ContainerError} if it is of another image or running, or if a file cannot be written.
 */
export async function apply(
  container: ContainerReference,
  options: ApplyOptions & FolderOptions = {},
): Promise<ApplyResult> {
  const { apply } = await lazy.files();
  return await apply(queryOf(container), options);
}
