/**
 * Making an image of a container.
 *
 * @module
 */

import { ContainerError } from "../../errors.ts";
import type { Folders } from "../../host/folders.ts";
import { commitContainer as commitImage, type CommitOptions } from "../../image/commit.ts";
import type { ImageDocuments, StoredImage } from "../../store/store.ts";
import { blobPath, makeStore, readImage, storeFolder } from "../../store/store.ts";
import { snapshot } from "./fork.ts";
import { removeStaleLayers } from "../state/fork_layers.ts";
import { findContainer, listContainers } from "../state/names.ts";
import type { ContainerRecord } from "../state/record.ts";

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
 * Makes an image of a container: its own image, and layers with everything that it has changed. One that runs is frozen
 * while its changes are copied, as for a fork.
 *
 * @throws {ContainerError} `container-not-found`, `image-gone`, and what `snapshot` throws.
 * @throws {ImageError} if the image cannot be made. The store is as before then.
 */
export async function commitContainer(
  { containers, images }: Folders,
  query: string,
  name: string,
  options: CommitOptions = {},
): Promise<StoredImage> {
  const store = storeFolder(images);
  makeStore(store);
  const image = documentsOf(store, findContainer(containers, query));
  const { record: { id, layers = [], lower }, release } = await snapshot(containers, query);
  try {
    const changes = layers.length > 0 ? layers.toReversed() : [`${containers}/${id}/upper`];
    return await commitImage(images, { changes, lower, image }, name, options);
  } finally {
    release();
    await removeStaleLayers(containers, listContainers(containers));
  }
}
