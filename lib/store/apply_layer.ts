/**
 * Applies the blob of a layer to a folder, in the thread that asks for it.
 *
 * @module
 */

import { AT_FDCWD, close } from "../../ffi/fs/fs.ts";
import { ImageError } from "../errors.ts";
import type { ByteSource } from "../tar/chunks.ts";
import { openDirectory } from "../tar/tree.ts";
import { unpack } from "../tar/unpack.ts";
import type { UnpackLimits } from "../tar/unpack_refusals.ts";

/** What a layer consists of. */
export interface UnpackedLayer {
  /** Entries, and directories that had none. */
  entries: number;
  /** Bytes of the uncompressed archive. */
  bytes: number;
  /** The digest of the uncompressed archive. */
  diffId: string;
  /** Directories that had no entry. */
  implied: string[];
}

/** What to unpack, and where; it can be sent to another thread. */
export interface LayerTask {
  /** The file that holds the layer. */
  blobPath: string;
  /** The folder that becomes the layer in overlayfs' form. */
  folder: string;
  /** The digest that the uncompressed archive must have. */
  diffId?: string;
  /** How much the layer may hold. */
  limits: Partial<UnpackLimits>;
}

/** Unpacks a layer whose uncompressed bytes are `source`. Throws {@linkcode ImageError}. */
export async function applyLayer(
  task: LayerTask,
  source: ByteSource,
  signal?: AbortSignal,
): Promise<UnpackedLayer> {
  const { createHash } = await import("node:crypto");
  const hash = createHash("sha256");
  const hashed = (async function* () {
    for await (const chunk of source) {
      signal?.throwIfAborted();
      hash.update(chunk);
      yield chunk;
    }
  })();
  const root = openDirectory(AT_FDCWD, task.folder);
  try {
    const { entries, bytes, implied } = await unpack(hashed, root, {
      layer: true,
      devices: "create",
      limits: task.limits,
      mayLackEnd: task.diffId !== undefined,
    });
    const diffId = `sha256:${hash.digest("hex")}`;
    if (task.diffId !== undefined && task.diffId !== diffId) {
      throw new ImageError(`its content is not what the image says: ${diffId}, not ${task.diffId}`, {
        code: "digest-mismatch",
        facts: { expected: task.diffId, found: diffId },
        hint: "The image is damaged or was changed on its way: pull it again.",
      });
    }
    return { entries, bytes, diffId, implied };
  } finally {
    close(root);
  }
}
