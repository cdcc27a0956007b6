/**
 * Makes a layer of a directory, such as the upper one of an overlay: what `unpackLayer` does, the other way round. The same
 * directory always gives the same bytes.
 *
 * @module
 */

import { AT_FDCWD, SystemError } from "../../ffi/fs/fs.ts";
import { Fd } from "../../ffi/fs/fd.ts";
import { ImageError } from "../errors.ts";
import { type ByteSource, joined, writeChunks } from "../tar/chunks.ts";
import { measure, measureAll, measuring } from "../tar/measure.ts";
import type { TarEntry } from "../tar/entry.ts";
import { archiveTree } from "../tar/tree_archive.ts";
import { gzip } from "../tar/transform.ts";
import { openDirectory } from "../tar/tree.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A layer that was made. */
export interface PackedLayer {
  /** The digest of the file, which is gzip. */
  digest: string;
  /** The file's size. */
  size: number;
  /** The digest of the archive in it. */
  diffId: string;
  /** How many entries the archive has. */
  entries: number;
}

/** How to pack a layer. */
export interface PackOptions {
  /** Aborts the work. */
  readonly signal?: AbortSignal;
  /** Changes each entry. Default: they stay. */
  readonly change?: (entry: TarEntry) => TarEntry;
}

async function compressTo(path: string, source: ByteSource) {
  const inner = measure(), outer = measure();
  await writeChunks(path, measuring(gzip(measuring(source, inner)), outer));
  return { ...outer.result(), diffId: inner.result().digest };
}

/** Returns the digest that the layer of a directory has uncompressed, without packing it. */
export async function diffIdOf(folder: string, signal?: AbortSignal): Promise<string> {
  using root = new Fd(openDirectory(AT_FDCWD, folder));
  return (await measureAll(joined(archiveTree(root.number, { layer: true }), signal))).digest;
}

/**
 * Packs the directory `upper` into the new file `toPath`: a gzip'ed OCI layer with owners, times, hard links, devices and
 * extended attributes; overlayfs' whiteouts and opaque directories become those of layers. Sockets are left out. Memory use
 * does not grow with the directory's files.
 *
 * Throws {@linkcode ImageError} `image-unsupported` for what a layer cannot say, `pack-failed` if something cannot be
 * read, and the reason of `signal` if that is aborted.
 */
export async function packLayer(
  upper: string,
  toPath: string,
  { signal, change }: PackOptions = {},
): Promise<PackedLayer> {
  let entries = 0;
  try {
    using root = new Fd(openDirectory(AT_FDCWD, upper));
    const packed = await compressTo(
      toPath,
      joined(archiveTree(root.number, { layer: true, change, onEntry: () => void entries++ }), signal),
    );
    return { ...packed, entries };
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new ImageError(`cannot pack ${upper}: ${error.message}`, {
      code: "pack-failed",
      facts: { folder: upper, errno: error.code },
      cause: error,
    });
  }
}
