/**
 * Commit: an image of a container's changes.
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
    throw new ContainerError(`cannot commit container ${id}: image ${image} is no longer in the store`, {
      code: "image-gone",
      facts: { id, image, imageDigest },
      hint: `pull it again with sauropod images pull ${image}`,
    });
  }
}

/**
 * Creates an image from a container: its image, and layers with its changes. A running container is frozen while its
 * changes are copied, as for a fork.
 *
 * @throws {ContainerError} `container-not-found`, `image-gone`, and those of `snapshot`.
 * @throws {ImageError} if the image cannot be created. The store is unchanged then.
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
