/**
 * The files of containers, for scripts: in and out, what has changed, and to this machine.
 *
 * @module
 */

import { findFolders, type FolderOptions } from "../../host/folders.ts";
import { applyChanges, type ApplyOptions, type ApplyResult } from "./apply.ts";
import { type Change, changesOf } from "./changes.ts";
import { copyFiles, type CopyOptions, type CopyResult, unpackInto, withArchive } from "./copy.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Where containers are, and how to copy. */
export type CopyFileOptions = CopyOptions & FolderOptions;

async function send(archive: AsyncIterable<Bytes>, output: WritableStream<Bytes>): Promise<void> {
  const writer = output.getWriter();
  try {
    // A chunk is valid until the next is asked for, and who takes it may keep it.
    for await (const chunk of archive) await writer.write(chunk.slice());
  } finally {
    writer.releaseLock();
  }
}

/** Copies `source`, a path of this machine or the bytes of an archive, to the path `target` of a container. */
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

/** Copies the path `source` of a container to the path `target` of this machine. */
export async function copyFrom(
  container: string,
  source: string,
  target: string,
  options: CopyFileOptions = {},
): Promise<CopyResult> {
  return await copyFiles(findFolders(options).containers, { container, path: source }, { path: target }, options);
}

/** Writes a tar archive of `source`, or of all files without what is mounted in it, to `output`, which stays open. */
export async function exportTar(
  container: string,
  output: WritableStream<Bytes>,
  options: CopyFileOptions & { source?: string } = {},
): Promise<void> {
  const { source, ...rest } = options, from = { container, path: source ?? "/" };
  const { containers } = findFolders(options);
  await withArchive(containers, from, { ...rest, oneMount: source === undefined }, (archive) => send(archive, output));
}

/** What a container has changed in its image's files. */
export async function changes(container: string, options: FolderOptions = {}): Promise<Change[]> {
  return await changesOf(findFolders(options).containers, container);
}

/** Writes what a container of the image `host` has changed to this machine. */
export async function apply(container: string, options: ApplyOptions & FolderOptions = {}): Promise<ApplyResult> {
  return await applyChanges(findFolders(options).containers, container, options);
}
