/**
 * Listing, naming and checking images of the store.
 *
 * @module
 */

import { ImageError, messageOf } from "../errors.ts";
import { listed } from "../text/listed.ts";
import { formatReference } from "../registry/reference.ts";
import { readLayer } from "../store/layer_paths.ts";
import type { Descriptor, HistoryEntry } from "../oci.ts";
import { parseNewName } from "./reserved_names.ts";
import {
  blobPath,
  type ImageDocuments,
  listStored,
  readImage,
  setName,
  type StoredImage,
  storeFolder,
} from "../store/store.ts";
import { findNamed } from "../store/stored.ts";

/** An image of the store, for people. */
export interface ImageSummary {
  /** Its full name. */
  readonly name: string;
  /** The digest of its manifest. */
  readonly digest: string;
  /** The size of its layers as they are kept in the registry, in bytes. */
  readonly size: number;
  /** When it was made, as an RFC 3339 time. */
  readonly created?: string;
  /** For which kind of machine it is: `linux/amd64`. */
  readonly platform: string;
}

/** One layer of an image's history, for people. */
export interface HistoryLine extends HistoryEntry {
  /** The size of the layer that it made, compressed, in bytes. */
  readonly size: number;
}

function notFound(name: string, stored: readonly StoredImage[]): ImageError {
  const known = stored.map((image) => image.name);
  return new ImageError(`there is no image ${name} in the store`, {
    code: "image-not-found",
    facts: { name, images: known },
    hint: known.length ? `there is: ${listed(known)}` : "sauropod images pull or import makes one",
  });
}

/**
 * Returns the image that `text` names, as {@linkcode findNamed} finds it.
 *
 * @throws {ImageError} `image-not-found`, `image-ambiguous`.
 */
export function findImage(images: string, text: string): StoredImage {
  const store = storeFolder(images), found = findNamed(store, text);
  if (found) return found;
  throw notFound(text, listStored(store));
}

function summary(store: string, { name, descriptor }: StoredImage): ImageSummary {
  const { manifest, config } = readImage(store, descriptor);
  return {
    name,
    digest: descriptor.digest,
    size: manifest.layers.reduce((sum, { size }) => sum + size, 0),
    platform: [config.os, config.architecture, ...(config.variant ? [config.variant] : [])].join("/"),
    ...(config.created === undefined ? {} : { created: config.created }),
  };
}

/** Returns all images of the store. Those whose documents are damaged go to `damaged`. */
export function listSummaries(images: string, damaged: (name: string, why: string) => void = () => {}): ImageSummary[] {
  const store = storeFolder(images);
  return listStored(store).flatMap((image) => {
    try {
      return [summary(store, image)];
    } catch (error) {
      if (!(error instanceof ImageError)) throw error;
      damaged(image.name, error.message);
      return [];
    }
  });
}

/** Returns an image's documents. Throws {@linkcode ImageError} as {@linkcode findImage} and `readImage` do. */
export function inspectImage(images: string, text: string): ImageDocuments & { name: string } {
  const { name, descriptor } = findImage(images, text);
  return { name, ...readImage(storeFolder(images), descriptor) };
}

/** How an image was made, latest first. */
export function historyOf(images: string, text: string): HistoryLine[] {
  const { manifest, config } = inspectImage(images, text);
  const layers = [...manifest.layers];
  const history = config.history?.length ? config.history : manifest.layers.map((): HistoryEntry => ({}));
  return history.map((entry) => ({ ...entry, size: entry.empty_layer ? 0 : layers.shift()?.size ?? 0 })).reverse();
}

/** Gives an image another name too. */
export function tagImage(images: string, text: string, name: string): StoredImage {
  const { descriptor } = findImage(images, text);
  const full = formatReference(parseNewName(name));
  setName(storeFolder(images), full, {
    mediaType: descriptor.mediaType,
    digest: descriptor.digest,
    size: descriptor.size,
  });
  return { name: full, descriptor };
}

/** Something wrong with the store. */
export interface Damage {
  /** The image's name. */
  readonly name: string;
  /** Description of the damage. */
  readonly problem: string;
}

async function digestOfFile(path: string): Promise<string> {
  const { createHash } = await import("node:crypto");
  const hash = createHash("sha256");
  using file = await Deno.open(path);
  const buffer = new Uint8Array(1 << 20);
  for (let n = await file.read(buffer); n !== null; n = await file.read(buffer)) hash.update(buffer.subarray(0, n));
  return `sha256:${hash.digest("hex")}`;
}

async function checkBlob(store: string, { digest, size }: Descriptor): Promise<string | undefined> {
  try {
    const path = blobPath(store, digest);
    const found = await Deno.stat(path);
    if (found.size !== size) return `the blob ${digest} has ${found.size} bytes and should have ${size}`;
    return await digestOfFile(path) === digest ? undefined : `the blob ${digest} holds something else`;
  } catch (error) {
    return `the blob ${digest} cannot be read: ${messageOf(error)}`;
  }
}

/** Reads everything that images consist of, and says what is not as it should be. */
export async function verifyImages(images: string): Promise<Damage[]> {
  const store = storeFolder(images);
  const damage: Damage[] = [];
  const checked = new Map<string, string | undefined>();
  for (const { name, descriptor } of listStored(store)) {
    const report = (problem: string | undefined): void => {
      if (problem !== undefined) damage.push({ name, problem });
    };
    const check = async (one: Descriptor): Promise<void> => {
      if (!checked.has(one.digest)) checked.set(one.digest, await checkBlob(store, one));
      report(checked.get(one.digest));
    };
    await check(descriptor);
    try {
      const { manifest, config } = readImage(store, descriptor);
      for (const one of [manifest.config, ...manifest.layers]) await check(one);
      // One that is not unpacked is no damage: the next container unpacks it.
      for (const diffId of config.rootfs.diff_ids) readLayer(store, diffId);
    } catch (error) {
      report(messageOf(error));
    }
  }
  return damage;
}
