/**
 * Making an image of what a container has changed.
 *
 * @module
 */

import { ImageError } from "../errors.ts";
import { layerOfFolder, newName, rawConfig } from "./exchange/import.ts";
import { type Spool, withSpool } from "./exchange/spool.ts";
import { type NewLayer, writeImage } from "./exchange/write_image.ts";
import { checkLayers, type ImageSettings } from "../oci.ts";
import { hasBlob, type ImageDocuments, setName, type StoredImage, storeFolder } from "../store/store.ts";

/** Parts of a container that is committed. */
export interface CommitSource {
  /** The directories that hold what it has changed, as upper directories of overlays, lowest first. Each becomes a layer. */
  readonly changes: readonly string[];
  /** The image it was made of; undefined if that was a directory, an archive or the host. */
  readonly image?: ImageDocuments;
  /** The directories of its image, uppermost first; needed where there is no `image`. */
  readonly lower?: readonly string[];
}

/** How to make an image of a container. */
export interface CommitOptions {
  /** A remark for the history. */
  readonly message?: string;
  /** Author. */
  readonly author?: string;
  /** Container config, applied over that of the container's image. */
  readonly changes?: ImageSettings;
  /** Aborts the work. */
  readonly signal?: AbortSignal;
}

function unsupported(): ImageError {
  return new ImageError("the container was made of the host's own file system, of which no image is made", {
    code: "commit-unsupported",
    hint: "sauropod images import makes an image of a folder",
  });
}

/** Returns the layers of a stored image, that one on which another is made. Throws {@linkcode ImageError} `store-damaged`. */
export function imageLayers(store: string, { manifest, config, descriptor }: ImageDocuments): NewLayer[] {
  return manifest.layers.map((layer, i) => {
    if (hasBlob(store, layer)) return { descriptor: layer, diffId: config.rootfs.diff_ids[i] ?? "" };
    throw new ImageError(`the layer ${layer.digest} of the container's image ${descriptor.digest} is not there`, {
      code: "store-damaged",
      facts: { digest: layer.digest, image: descriptor.digest },
      hint: "pull the image again",
    });
  });
}

/**
 * Returns the layers of an image that is not in the store, of its directories, uppermost first.
 *
 * @throws {ImageError} `commit-unsupported` for the host's own file system.
 */
export async function packLowers(spool: Spool, lower: readonly string[], signal?: AbortSignal): Promise<NewLayer[]> {
  if (lower.length === 0 || lower.includes("/")) throw unsupported();
  const layers: NewLayer[] = [];
  for (const folder of lower.toReversed()) layers.push(await layerOfFolder(spool, folder, { signal }));
  return layers;
}

/**
 * Makes an image of a container: the layers and configuration of its image, and a layer with what it has changed.
 *
 * @throws {InputError} `bad-reference`.
 * @throws {ImageError} `commit-unsupported` for containers of the host's own file system, `store-damaged`.
 */
export async function commitContainer(
  images: string,
  source: CommitSource,
  name: string,
  options: CommitOptions = {},
): Promise<StoredImage> {
  const full = newName(name);
  return await withSpool(storeFolder(images), async (spool) => {
    const { store } = spool, { image, changes, lower = [] } = source, { signal, ...rest } = options;
    const below = image ? imageLayers(store, image) : await packLowers(spool, lower, signal);
    checkLayers({ layers: [...below, ...changes] }, full);
    const above: NewLayer[] = [];
    for (const folder of changes) above.push(await layerOfFolder(spool, folder, { signal }));
    const descriptor = await writeImage(store, {
      ...rest,
      base: image ? rawConfig(store, image.manifest.config) : {},
      layers: [...below, ...above],
      added: above.length + (image ? 0 : below.length),
      createdBy: "sauropod commit",
    });
    setName(store, full, descriptor);
    return { name: full, descriptor };
  });
}
