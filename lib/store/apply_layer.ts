/**
 * Applies the blob of a layer to a directory, in the thread that asks for it.
 *
 * @module
 */

import { AT_FDCWD } from "../../ffi/fs/fs.ts";
import { Fd } from "../../ffi/fs/fd.ts";
import { measure, measuring } from "../tar/measure.ts";
import { ImageError } from "../errors.ts";
import type { ByteSource } from "../tar/chunks.ts";
import { openDirectory } from "../tar/tree.ts";
import { unpack } from "../tar/unpack.ts";
import type { UnpackLimits } from "../tar/unpack_refusals.ts";

/** Result of unpacking a layer. */
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

/** Layer to unpack and its destination; can be posted to another thread. */
export interface LayerTask {
  /** The file that holds the layer. */
  blobPath: string;
  /** The directory that becomes the layer in overlayfs' form. */
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
  const measured = measure();
  using root = new Fd(openDirectory(AT_FDCWD, task.folder));
  const { entries, bytes, implied } = await unpack(measuring(source, measured, signal), root.number, {
    layer: true,
    devices: "create",
    limits: task.limits,
    mayLackEnd: task.diffId !== undefined,
  });
  const { digest: diffId } = measured.result();
  if (task.diffId !== undefined && task.diffId !== diffId) {
    throw new ImageError(`invalid diff ID: expected ${task.diffId}, found ${diffId}`, {
      code: "digest-mismatch",
      facts: { expected: task.diffId, found: diffId },
      hint: "pull the image again: it is damaged or was changed on the way",
    });
  }
  return { entries, bytes, diffId, implied };
}
