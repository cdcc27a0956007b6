/**
 * Pushing images of the store to registries.
 *
 * @module
 */

import { openRegistry } from "../registry/client.ts";
import { pushManifest } from "../registry/manifests.ts";
import { parseReference } from "../registry/reference.ts";
import { pushBlob } from "../registry/upload.ts";
import { type LayerProgress, mapConcurrent } from "../store/ensure_layers.ts";
import { findImage } from "./manage.ts";
import { blobPath, readDocument, readImage, storeFolder, whileHeld } from "../store/store.ts";

/** How to push. */
export interface PushOptions {
  /** The reference to push to. Default: the image's own name. */
  to?: string;
  /** Aborts the work. */
  signal?: AbortSignal;
  /** Is told of each blob's progress. */
  onProgress?: (progress: LayerProgress) => void;
}

function contentOf(path: string): ReadableStream<Uint8Array> {
  return Deno.openSync(path).readable;
}

/**
 * Pushes an image as it is in the store: the blobs that the registry lacks, then the manifest. Returns its digest.
 *
 * @throws {ImageError} `image-not-found`, and for everything that the registry refuses.
 */
export async function pushImage(text: string, images: string, options: PushOptions = {}): Promise<string> {
  const { signal, onProgress = () => {} } = options;
  const store = storeFolder(images);
  const { name, descriptor } = findImage(images, text);
  const reference = parseReference(options.to ?? name);
  return await whileHeld(store, "shared", async () => {
    const { manifest } = readImage(store, descriptor);
    const registry = openRegistry(reference.registry, { signal });
    const { repository } = reference;
    await mapConcurrent([...manifest.layers, manifest.config], async (blob, signal) => {
      const { digest, size: total } = blob;
      onProgress({ digest, phase: "waiting", done: 0, total });
      await pushBlob(registry, repository, blob, () => contentOf(blobPath(store, digest)), {
        signal,
        onProgress: (done) => onProgress({ digest, phase: "uploading", done, total }),
      });
      onProgress({ digest, phase: "done", done: total, total });
    }, signal);
    const text = readDocument(store, descriptor), { mediaType } = descriptor;
    return (await pushManifest(registry, reference, { text, mediaType })).digest;
  });
}
