/**
 * Making an image of a container.
 *
 * @module
 */

import { ContainerError } from "../errors.ts";
import type { Folders } from "../folders.ts";
import { commitContainer as commitImage, type CommitOptions } from "../image/commit.ts";
import type { ImageDocuments, StoredImage } from "../image/store.ts";
import { blobPath, makeStore, readImage, storeFolder } from "../image/store.ts";
import { findContainer } from "./names.ts";
import type { ContainerRecord } from "./record.ts";

function documentsOf(store: string, { id, image, imageDigest }: ContainerRecord): ImageDocuments | undefined {
  if (imageDigest === undefined) return undefined;
  try {
    const { size } = Deno.statSync(blobPath(store, imageDigest));
    return readImage(store, { mediaType: "", digest: imageDigest, size });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new ContainerError(`the image ${image} of the container ${id} is no longer in the store`, {
      code: "image-gone",
      facts: { id, image, imageDigest },
      hint: `pull it again: sauropod images pull ${image}`,
    });
  }
}

/**
 * Makes an image of a container: its own image, and a layer with everything that it has changed. A container that runs
 * is not stopped for it: what it writes meanwhile may or may not be in the layer.
 *
 * @throws {ContainerError} `container-not-found`, `image-gone`.
 * @throws {ImageError} if the image cannot be made. The store is as before then.
 */
export async function commitContainer(
  { containers, images }: Folders,
  query: string,
  name: string,
  options: CommitOptions = {},
): Promise<StoredImage> {
  const record = findContainer(containers, query);
  const store = storeFolder(images);
  makeStore(store);
  const upper = `${containers}/${record.id}/upper`;
  return await commitImage(images, { upper, lower: record.lower, image: documentsOf(store, record) }, name, options);
}
