/**
 * Making sure that the blob of a layer holds what the image says.
 *
 * @module
 */

import { fileChunks } from "../tar/chunks.ts";
import { decompress } from "../tar/decompress.ts";
import { measureAll } from "../tar/measure.ts";
import { ImageError } from "../errors.ts";
import { ensureLayer } from "./ensure_layers.ts";
import type { Descriptor } from "../oci.ts";
import { blobPath } from "./store.ts";

/** Returns the error for content with another digest than expected. */
export function otherDigest(what: string, wanted: string, got: string): ImageError {
  return new ImageError(`${what} holds something else: it should have the digest ${wanted} and has ${got}`, {
    code: "digest-mismatch",
    facts: { what, wanted, got },
    hint: "create or copy the archive again; if that does not help, do not trust it",
  });
}

/**
 * Ensures that a layer is unpacked. That verifies its diff ID; where another blob has been unpacked already, this one
 * is read.
 *
 * @throws {ImageError} `digest-mismatch`, and as `ensureLayer`.
 */
export async function verifyLayer(
  store: string,
  { digest, mediaType }: Descriptor,
  diffId: string,
  signal?: AbortSignal,
): Promise<void> {
  if (await ensureLayer(store, digest, mediaType, diffId, signal) || digest === diffId) return;
  const { digest: got } = await measureAll(decompress(fileChunks(blobPath(store, digest), signal)));
  if (got !== diffId) throw otherDigest(`the uncompressed layer ${digest}`, diffId, got);
}
