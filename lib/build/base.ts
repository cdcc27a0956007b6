/**
 * The images that stages begin with.
 *
 * @module
 */

import { ImageError } from "../errors.ts";
import { imageLayers, packLowers } from "../image/commit.ts";
import { rawConfig } from "../image/exchange/import.ts";
import type { Spool } from "../image/exchange/spool.ts";
import type { NewLayer } from "../image/exchange/write_image.ts";
import { digestOf, hostPlatform, MEDIA, parsePlatform } from "../oci.ts";
import { diffIdOf } from "../store/pack_layer.ts";
import { resolveImage } from "../image/resolve.ts";
import type { Image } from "../store/image.ts";
import { blobPath, readImage } from "../store/store.ts";
import { ready, type StoredOptions } from "../store/stored.ts";
import { lookupCache, storeCache } from "./cache.ts";
import type { Base } from "./plan.ts";

async function keyOf(text: string): Promise<string> {
  return await digestOf(new TextEncoder().encode(text));
}

/** Returns the one layer of an image that is a directory or an unpacked archive, which is packed only when it has changed. */
async function packed(spool: Spool, { lower }: Image, signal?: AbortSignal): Promise<NewLayer[]> {
  const [folder = "/"] = lower, diffId = await diffIdOf(folder, signal);
  const key = await keyOf(JSON.stringify(["folder", diffId])), known = lookupCache(spool.store, key);
  if (known?.layer) return [known.layer];
  const layers = await packLowers(spool, lower, signal), [layer] = layers;
  if (layer?.diffId === diffId) storeCache(spool.store, key, { layer, created: new Date().toISOString() });
  return layers;
}

function once<T>(work: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => result ??= work();
}

/**
 * Finds the image `name`, which is pulled if need be; `scratch` is empty.
 *
 * @throws {InputError}, {ImageError} if there is none, or it is the host's own file system.
 */
export async function findBase(spool: Spool, images: string, name: string, options: StoredOptions): Promise<Base> {
  const { platform, signal } = options, { store } = spool;
  if (name === "scratch") {
    const config = platform === undefined ? hostPlatform() : parsePlatform(platform);
    return { config: { ...config }, layers: () => Promise.resolve([]), layerCount: 0 };
  }
  const image = await resolveImage(name, images, options), { digest, kind } = image;
  image.release?.();
  if (kind === "host") {
    throw new ImageError("host is this machine's own file system, on which no image is built", {
      code: "build-unsupported",
      hint: "sauropod images import makes an image of a folder",
    });
  }
  if (digest === undefined) {
    return { config: { ...hostPlatform() }, layers: once(() => packed(spool, image, signal)) };
  }
  const { size } = Deno.statSync(blobPath(store, digest));
  const documents = readImage(store, { mediaType: "", digest, size }), layers = imageLayers(store, documents);
  const config = rawConfig(store, documents.manifest.config);
  return { config, layers: () => Promise.resolve(layers), layerCount: layers.length };
}

/** Returns the directories of layers that have no image of their own, uppermost first. */
export async function foldersOf(store: string, layers: readonly NewLayer[], signal?: AbortSignal): Promise<string[]> {
  if (layers.length === 0) return [];
  const diffIds = layers.map(({ diffId }) => diffId);
  // The missing parent directories of these layers are named by a digest of all their diff IDs.
  const descriptor = { mediaType: MEDIA.config, digest: await keyOf(diffIds.join()), size: 0 };
  const manifest = { config: descriptor, layers: layers.map((layer) => layer.descriptor) };
  const config = { ...hostPlatform(), rootfs: { type: "layers", diff_ids: diffIds } };
  return await ready(store, { descriptor, manifest, config }, signal);
}
