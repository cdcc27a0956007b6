/**
 * File operations of the API: cp, export, diff, apply.
 *
 * @module
 */

import { findFolders, type FolderOptions } from "../../host/folders.ts";
import { applyChanges, type ApplyOptions, type ApplyResult } from "./apply.ts";
import { type Change, changesOf } from "./changes.ts";
import { copyFiles, type CopyOptions, type CopyResult, unpackInto, withArchive } from "./copy.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Options of `copyTo`, `copyFrom` and `exportTar`. */
export type CopyFileOptions = CopyOptions & FolderOptions;

async function send(archive: AsyncIterable<Bytes>, output: WritableStream<Bytes>): Promise<void> {
  const writer = output.getWriter();
  try {
    // A chunk is valid until the next is requested; the receiver may keep it.
    for await (const chunk of archive) await writer.write(chunk.slice());
  } finally {
    writer.releaseLock();
  }
}

/** Copies `source`, a path on the host or the bytes of an archive, to the path `target` in a container. */
export async function copyTo(
  container: string,
  source: string | ReadableStream<Bytes>,
  target: string,
  options: CopyFileOptions = {},
): Promise<CopyResult> {
  const { containers } = findFolders(options), to = { container, path: target };
  return await (typeof source === "string"
    ? copyFiles(containers, { path: source }, to, options)
    : unpackInto(containers, source, to, options));
}

/** Copies the path `source` in a container to the path `target` on the host. */
export async function copyFrom(
  container: string,
  source: string,
  target: string,
  options: CopyFileOptions = {},
): Promise<CopyResult> {
  return await copyFiles(findFolders(options).containers, { container, path: source }, { path: target }, options);
}

/** Writes a tar archive of `source`, by default of all files without mounts, to `output`, which stays open. */
export async function exportTar(
  container: string,
  output: WritableStream<Bytes>,
  options: CopyFileOptions & { source?: string } = {},
): Promise<void> {
  const { source, ...rest } = options, from = { container, path: source ?? "/" };
  const { containers } = findFolders(options);
  await withArchive(containers, from, { ...rest, oneMount: source === undefined }, (archive) => send(archive, output));
}

/** Returns the changes of a container. */
export async function changes(container: string, options: FolderOptions = {}): Promise<Change[]> {
  return await changesOf(findFolders(options).containers, container);
}

/** Writes the changes of a container of the image `host` to the host. */
export async function apply(container: string, options: ApplyOptions & FolderOptions = {}): Promise<ApplyResult> {
  return await applyChanges(findFolders(options).containers, container, options);
}
