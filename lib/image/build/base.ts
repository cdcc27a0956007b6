/**
 * The images that stages begin with.
 *
 * @module
 */

import { imageLayers, packLowers } from "../commit.ts";
import { rawConfig } from "../exchange/import.ts";
import type { Spool } from "../exchange/spool.ts";
import type { NewLayer } from "../exchange/write_image.ts";
import { digestOf, hostPlatform, MEDIA } from "../oci.ts";
import { type Image, resolveImage } from "../resolve.ts";
import { blobPath, readImage } from "../store.ts";
import { ready, type StoredOptions } from "../stored.ts";
import { recall, remember } from "./cache.ts";
import { type Base, platformOf } from "./plan.ts";

async function keyOf(text: string): Promise<string> {
  return await digestOf(new TextEncoder().encode(text));
}

/** The one layer of an image that is a folder or an archive; an archive, which does not change, is packed once. */
async function packed(spool: Spool, { kind, lower }: Image, signal?: AbortSignal): Promise<NewLayer[]> {
  const [folder = "/"] = lower, { ino, birthtime, mtime } = Deno.statSync(folder);
  const key = await keyOf(JSON.stringify(["archive", folder, ino, birthtime, mtime]));
  const known = kind === "archive" ? recall(spool.store, key) : undefined;
  if (known?.layer) return [known.layer];
  const layers = await packLowers(spool, lower, signal), [layer] = layers;
  if (kind === "archive") remember(spool.store, key, { layer, created: new Date().toISOString() });
  return layers;
}

/**
 * Finds the image `name`, which is pulled if need be; `scratch` is empty.
 *
 * @throws {InputError}, {ImageError} if there is none.
 */
export async function findBase(
  spool: Spool,
  images: string,
  name: string,
  options: StoredOptions,
): Promise<Base> {
  const { platform } = options;
  if (name === "scratch") {
    return { config: { ...platform === undefined ? hostPlatform() : platformOf(platform) }, layers: [] };
  }
  const image = await resolveImage(name, images, options);
  try {
    const { digest } = image;
    if (digest === undefined) {
      return { config: { ...hostPlatform() }, layers: await packed(spool, image, options.signal) };
    }
    const { size } = Deno.statSync(blobPath(spool.store, digest));
    const documents = readImage(spool.store, { mediaType: "", digest, size });
    return { config: rawConfig(spool.store, documents.manifest.config), layers: imageLayers(spool.store, documents) };
  } finally {
    image.release?.();
  }
}

/** The folders of layers that have no image of their own, uppermost first. */
export async function foldersOf(store: string, layers: readonly NewLayer[], signal?: AbortSignal): Promise<string[]> {
  if (layers.length === 0) return [];
  const diffIds = layers.map(({ diffId }) => diffId);
  // What hangs on the layers below each other is kept by the digest of what names them all.
  const descriptor = { mediaType: MEDIA.config, digest: await keyOf(diffIds.join()), size: 0 };
  const manifest = { config: descriptor, layers: layers.map((layer) => layer.descriptor) };
  const config = { ...hostPlatform(), rootfs: { type: "layers", diff_ids: diffIds } };
  return await ready(store, { descriptor, manifest, config }, signal);
}
