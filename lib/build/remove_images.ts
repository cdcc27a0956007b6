/**
 * Removing and pruning images of the store: what containers or the build cache need stays.
 *
 * @module
 */

import { AT_FDCWD } from "../../ffi/fs/fs.ts";
import { listContainers } from "../container/state/names.ts";
import type { ContainerRecord } from "../container/state/record.ts";
import { ImageError } from "../errors.ts";
import { forgetStale, rememberedLayers } from "./cache.ts";
import { impliedFolder, layerFolder } from "../store/layer_paths.ts";
import { sweep } from "../store/locked_directory.ts";
import type { Descriptor } from "../oci.ts";
import {
  blobPath,
  type ImageDocuments,
  listStored,
  makeStore,
  readImage,
  removeNames,
  type StoredImage,
  storeFolder,
  usersOf,
  whileHeld,
} from "../store/store.ts";
import { findNamed } from "../store/stored.ts";
import { removeTree } from "../tar/tree.ts";
import { findImage } from "../image/manage.ts";

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

/** Prunes the store; what builds have made, but for the layers `removed`, is spared if that is given. */
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
