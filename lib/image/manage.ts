/**
 * Listing, naming, removing and checking images of the store.
 *
 * @module
 */

import { AT_FDCWD } from "../../ffi/fs/fs.ts";
import { listContainers } from "../container/state/names.ts";
import type { ContainerRecord } from "../container/state/record.ts";
import { ImageError, messageOf } from "../errors.ts";
import { listed } from "../text/listed.ts";
import { formatReference } from "../registry/reference.ts";
import { forgetStale, rememberedLayers } from "../build/cache.ts";
import { impliedFolder, layerFolder, readLayer } from "../store/layer_paths.ts";
import { sweep } from "../store/locked_directory.ts";
import type { Descriptor, HistoryEntry } from "../oci.ts";
import { parseNewName } from "./reserved_names.ts";
import {
  blobPath,
  type ImageDocuments,
  listStored,
  makeStore,
  readImage,
  removeNames,
  setName,
  type StoredImage,
  storeFolder,
  usersOf,
  whileHeld,
} from "../store/store.ts";
import { findNamed } from "../store/stored.ts";
import { removeTree } from "../tar/tree.ts";

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

/** Returns the containers that may use the store. Throws {@linkcode ImageError} if one cannot be read: what it needs is not known. */
function containersOf(store: string): ContainerRecord[] {
  return usersOf(store).flatMap((folder) =>
    listContainers(folder, (id) => {
      throw new ImageError(`the record of the container ${id} in ${folder} is damaged: its layers are not known`, {
        code: "store-damaged",
        facts: { id, folder },
        hint: `nothing is removed from the store before it is: remove ${folder}/${id} if nothing in it is needed`,
      });
    })
  );
}

/** Returns the containers that are made of an image's layers. */
function usersOfImage(store: string, { config }: ImageDocuments): ContainerRecord[] {
  const top = config.rootfs.diff_ids.at(-1);
  if (top === undefined) return [];
  return containersOf(store).filter(({ lower }) => lower.includes(`${layerFolder(store, top)}/diff`));
}

function checkUnused(store: string, { name, descriptor }: StoredImage): void {
  const users = usersOfImage(store, readImage(store, descriptor));
  if (users.length === 0) return;
  throw new ImageError(`${name} is used by ${users.map(({ name, id }) => name ?? id).join(", ")}`, {
    code: "image-in-use",
    facts: { name, containers: users.map(({ id }) => id) },
    hint: "remove those containers first; --force takes the name away and leaves them their layers",
  });
}

/**
 * Takes an image's name away, and with its last name what no other image and no container needs. What builds of other
 * images can go on from stays. Returns the name.
 *
 * @throws {ImageError} `image-not-found`, `image-in-use` if containers are made of it and it has no other name.
 */
export async function removeImage(images: string, text: string, force = false): Promise<string> {
  const store = storeFolder(images);
  const image = findImage(images, text);
  const same = listStored(store).filter(({ descriptor }) => descriptor.digest === image.descriptor.digest);
  if (same.length <= 1 && !force) checkUnused(store, image);
  const removed = layersOf(store, image.descriptor);
  removeNames(store, [image.name]);
  await whileHeld(store, "exclusive", () => prune(store, removed));
  return image.name;
}

/** What {@linkcode pruneStore} took away. */
export interface Pruned {
  /** Names of images, if those go that no container is made of. */
  readonly names: readonly string[];
  /** Digests of blobs. */
  readonly blobs: readonly string[];
  /** Directories of layers. */
  readonly layers: readonly string[];
  /** How many bytes of blobs. */
  readonly bytes: number;
}

function namesIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name);
}

/** What an image consists of; nothing if that cannot be told. */
function layersOf(store: string, descriptor: Descriptor): ReadonlySet<string> {
  try {
    return new Set(readImage(store, descriptor).manifest.layers.map(({ digest }) => digest));
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    return new Set();
  }
}

/**
 * What the images of the store and those that containers are made of need, as they can be committed. Throws
 * {@linkcode ImageError} if that cannot be told: nothing is safe to remove then.
 */
function needed(store: string): { blobs: Set<string>; layers: Set<string> } {
  const blobs = new Set<string>(), layers = new Set<string>();
  const containers = containersOf(store);
  const made = containers.flatMap(({ imageDigest = "" }) => findNamed(store, imageDigest) ?? []);
  for (const { descriptor } of [...listStored(store), ...made]) {
    const documents = readImage(store, descriptor), { manifest, config } = documents;
    layers.add(impliedFolder(store, documents));
    for (const { digest } of [descriptor, manifest.config, ...manifest.layers]) blobs.add(digest);
    for (const diffId of config.rootfs.diff_ids) layers.add(layerFolder(store, diffId));
  }
  for (const { lower } of containers) for (const folder of lower) layers.add(folder.replace(/\/diff$/, ""));
  return { blobs, layers };
}

function removeLayer(folder: string): void {
  // Out of sight first: a layer that is half removed must not be taken for one.
  const hidden = folder.replace(/([^/]+)$/, ".$1.tmp");
  Deno.renameSync(folder, hidden);
  removeTree(AT_FDCWD, hidden);
}

/** Prunes the store; what builds have made, except the layers `removed`, is spared if that is given. */
function prune(store: string, removed?: ReadonlySet<string>): Pruned {
  const { blobs, layers } = needed(store);
  for (const { descriptor: { digest }, diffId } of removed ? rememberedLayers(store) : []) {
    if (removed?.has(digest)) continue;
    blobs.add(digest);
    layers.add(layerFolder(store, diffId));
  }
  sweep(`${store}/layers`);
  for (const name of namesIn(`${store}/partial`)) removeTree(AT_FDCWD, `${store}/partial/${name}`);
  const goneLayers = namesIn(`${store}/layers`).map((name) => `${store}/layers/${name}`)
    .filter((folder) => !layers.has(folder));
  goneLayers.forEach(removeLayer);
  const goneBlobs = namesIn(`${store}/blobs/sha256`).map((hex) => `sha256:${hex}`).filter((digest) =>
    !blobs.has(digest)
  );
  const bytes = goneBlobs.reduce((sum, digest) => sum + Deno.statSync(blobPath(store, digest)).size, 0);
  for (const digest of goneBlobs) Deno.removeSync(blobPath(store, digest));
  forgetStale(store, removed === undefined);
  return { names: [], blobs: goneBlobs, layers: goneLayers, bytes };
}

/** Takes their names from the images that no container is made of; returns the names. */
function removeUnused(store: string): string[] {
  const unused = listStored(store).filter(({ descriptor }) =>
    usersOfImage(store, readImage(store, descriptor)).length === 0
  );
  const names = unused.map(({ name }) => name);
  removeNames(store, names);
  return names;
}

/**
 * Takes away what no image and no container needs, what builds could go on from, and what killed commands left; with
 * `all` also images that no container is made of. Waits until no image is being pulled or made, and no container is
 * being made of one.
 *
 * @throws {ImageError} `store-damaged` if an image cannot be read: what it needs is not known.
 */
export function pruneStore(images: string, all = false): Promise<Pruned> {
  const store = storeFolder(images);
  makeStore(store);
  return whileHeld(store, "exclusive", () => {
    const names = all ? removeUnused(store) : [];
    return { ...prune(store), names };
  });
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
