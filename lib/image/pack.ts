/**
 * Makes a layer of a folder, such as the upper one of an overlay: what `unpackLayer` does, the other way round. The same
 * folder always gives the same bytes.
 *
 * @module
 */

import { AT_FDCWD, close, SystemError } from "../../ffi/fs.ts";
import { ImageError } from "../errors.ts";
import { archiveTree, joined } from "./tar_tree.ts";
import { openDirectory } from "./tree.ts";

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

const READ_CHUNK = 1 << 18, LEVEL = 6;
async function writeTo(path: string, chunks: AsyncIterable<Bytes>): Promise<number> {
  using file = await Deno.open(path, { write: true, create: true, truncate: true });
  let size = 0;
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length;) at += await file.write(chunk.subarray(at));
    size += chunk.length;
  }
  return size;
}

async function compressTo(path: string, source: AsyncIterable<Bytes>) {
  const [{ createHash }, { createGzip }, { Readable }] = await Promise.all([
    import("node:crypto"),
    import("node:zlib"),
    import("node:stream"),
  ]);
  const inner = createHash("sha256"), outer = createHash("sha256");
  const gzip = createGzip({ level: LEVEL, chunkSize: READ_CHUNK });
  const input = Readable.from(
    (async function* () {
      for await (const chunk of source) {
        inner.update(chunk);
        yield chunk;
      }
    })(),
    { objectMode: true, highWaterMark: 1 },
  );
  input.on("error", (error) => gzip.destroy(error));
  // Whoever reads it hears of it, perhaps later.
  gzip.on("error", () => {});
  input.pipe(gzip);
  const output = async function* () {
    for await (const chunk of gzip) {
      outer.update(chunk);
      yield new Uint8Array(chunk);
    }
  };
  try {
    const size = await writeTo(path, output());
    return { size, digest: `sha256:${outer.digest("hex")}`, diffId: `sha256:${inner.digest("hex")}` };
  } finally {
    input.destroy();
    gzip.destroy();
  }
}

/**
 * Packs the folder `upper` into the new file `toPath`: a gzip'ed OCI layer with owners, times, hard links, devices and
 * extended attributes; overlayfs' whiteouts and opaque folders become those of layers. Sockets are left out. Memory use
 * does not grow with the folder's files.
 *
 * Throws {@linkcode ImageError} `image-unsupported` for what a layer cannot say, `pack-failed` if something cannot be
 * read, and the reason of `signal` if that is aborted.
 */
export async function packLayer(
  upper: string,
  toPath: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<PackedLayer> {
  let entries = 0, root = -1;
  try {
    root = openDirectory(AT_FDCWD, upper);
    const packed = await compressTo(
      toPath,
      joined(archiveTree(root, { layer: true, onEntry: () => void entries++ }), signal),
    );
    return { ...packed, entries };
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new ImageError(`${upper} cannot be packed: ${error.message}`, {
      code: "pack-failed",
      facts: { folder: upper, errno: error.code },
      cause: error,
    });
  } finally {
    if (root >= 0) close(root);
  }
}
