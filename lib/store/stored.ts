/**
 * Images of the store, ready to be mounted.
 *
 * @module
 */

import { close } from "../../ffi/fs/fs.ts";
import { modeOf } from "../../ffi/fs/paths.ts";
import type { Image, PullPolicy } from "./image.ts";
import { ImageError, SauropodError } from "../errors.ts";
import { lazy } from "../lazy.ts";
import { familiarReference, formatReference, parseReference } from "../registry/reference.ts";
import { impliedFolder, isUnpacked, lowerFolders } from "./layer_paths.ts";
import type { LayerProgress } from "./ensure_layers.ts";
import {
  checkLayers,
  isDigest,
  isIndex,
  MAX_DOCUMENT_BYTES,
  MAX_LAYERS,
  MEDIA,
  parseManifest,
  tooManyLayers,
} from "../oci.ts";
import {
  blobPath,
  holdStore,
  type ImageDocuments,
  isMade,
  listStored,
  noteUser,
  readDocument,
  readImage,
  sizeOf,
  type StoredImage,
  storeFolder,
} from "./store.ts";

/** How to look for an image. */
export interface StoredOptions {
  /** When to pull it. Default: `missing`. */
  pull?: PullPolicy;
  /** The platform: an image for another one is not the image. Default: whichever is there, this one if pulled. */
  platform?: string;
  /** Aborts the work. */
  signal?: AbortSignal;
  /** Returns the signal; called only before work that takes long. Default: `signal`. */
  interrupted?: () => AbortSignal | undefined;
  /** Called with the progress of a pull. */
  onProgress?: (progress: LayerProgress) => void;
  /** The directory of containers that the image is for: it is remembered as a user of the store. Default: none. */
  containers?: string;
}

/** Returns the full name of an image; undefined if `name` cannot be one. */
export function fullName(name: string): string | undefined {
  try {
    return formatReference(parseReference(name));
  } catch (error) {
    if (error instanceof SauropodError) return undefined;
    throw error;
  }
}

/** Returns the short names of all images in the store. */
export function storedNames(images: string): string[] {
  return listStored(storeFolder(images)).map(({ name }) => familiarReference(parseReference(name)));
}

const DIGEST_START = /^(?:sha256:)?([0-9a-f]{6,64})$/;

/** Returns the image with a whole digest, also if it has no name. */
function findNameless(store: string, digest: string): StoredImage | undefined {
  const size = isDigest(digest) ? sizeOf(blobPath(store, digest)) : undefined;
  if (size === undefined || size > MAX_DOCUMENT_BYTES) return undefined;
  try {
    const document = parseManifest(readDocument(store, { digest, size }), digest);
    const { mediaType = MEDIA.manifest } = document;
    return isIndex(document) ? undefined : { name: digest, descriptor: { mediaType, digest, size } };
  } catch (error) {
    // Not all blobs are images.
    if (error instanceof ImageError) return undefined;
    throw error;
  }
}

function findByDigest(store: string, stored: readonly StoredImage[], text: string): StoredImage | undefined {
  const start = DIGEST_START.exec(text)?.[1];
  if (start === undefined) return undefined;
  const begun = stored.filter(({ descriptor }) => descriptor.digest.startsWith(`sha256:${start}`));
  const [first] = begun;
  if (!first) return findNameless(store, `sha256:${start}`);
  if (begun.every(({ descriptor }) => descriptor.digest === first.descriptor.digest)) return first;
  throw new ImageError(`${text} is the beginning of several images' digests`, {
    code: "image-ambiguous",
    facts: { text, names: begun.map(({ name }) => name) },
    hint: "write more of it, or a name",
  });
}

/**
 * Returns the image of the store that `text` names: a reference, or the beginning of the digest of just one. One that has no name
 * is named by the whole of it, `sha256:…`.
 *
 * @throws {ImageError} `image-ambiguous`.
 */
export function findNamed(store: string, text: string): StoredImage | undefined {
  const stored = listStored(store), name = fullName(text);
  return stored.find((image) => image.name === name) ?? findByDigest(store, stored, name?.split("@")[1] ?? text);
}

async function pull(name: string, images: string, options: StoredOptions): Promise<void> {
  const { pullImage } = await lazy.pull();
  await pullImage(name, images, { ...options, signal: options.interrupted?.() ?? options.signal });
}

/**
 * Returns the directories of an image whose blobs are in the store, uppermost first, unpacked if need be. Only the layers, their diff
 * ids and the digest of its configuration are looked at.
 *
 * @throws {ImageError} for everything that is wrong with a layer.
 */
export async function ready(store: string, documents: ImageDocuments, signal?: AbortSignal): Promise<string[]> {
  checkLayers(documents.manifest, documents.descriptor.digest);
  if (!documents.config.rootfs.diff_ids.every((diffId) => isUnpacked(store, diffId))) {
    const [{ ensureLayers }, { explainDiskFull }] = await Promise.all([lazy.layers(), lazy.full()]);
    await explainDiskFull(store, () => ensureLayers(store, documents, signal));
  }
  if (modeOf(impliedFolder(store, documents)) === undefined) {
    const { ensureParentDirLayer } = await lazy.implied();
    await ensureParentDirLayer(store, documents, signal);
  }
  const folders = lowerFolders(store, documents);
  if (folders.length > MAX_LAYERS) throw tooManyLayers(documents.descriptor.digest, folders.length);
  return folders;
}

/** Reports whether a stored image is for the requested platform, if one was. */
function fits({ config }: ImageDocuments, platform: string | undefined): boolean {
  if (platform === undefined) return true;
  const [os, architecture, variant] = platform.split("/");
  return config.os === os && config.architecture === architecture &&
    (variant === undefined || config.variant === variant);
}

/**
 * Returns the image of that name in the store, pulled if need be; undefined if it is not there and is not to be pulled. The
 * store is held against pruning until `release` is called.
 *
 * @throws {ImageError} for everything that is wrong with the image or its registry.
 */
export async function resolveStored(
  name: string,
  images: string,
  options: StoredOptions = {},
): Promise<Image | undefined> {
  const store = storeFolder(images);
  // A name that is not a reference may be a digest, which is looked up but not pulled.
  const policy = fullName(name) === undefined ? "never" : options.pull ?? "missing";
  if (policy === "always") await pull(name, images, options);
  for (const mayPull of [policy === "missing", false]) {
    const hold = isMade(store) ? await holdStore(store, "shared") : undefined;
    const release = (): void => {
      if (hold !== undefined) close(hold);
    };
    try {
      const descriptor = hold === undefined ? undefined : findNamed(store, name)?.descriptor;
      const documents = descriptor && readImage(store, descriptor);
      if (documents && fits(documents, options.platform)) {
        const lower = await ready(store, documents, options.interrupted?.() ?? options.signal);
        if (options.containers !== undefined) await noteUser(store, options.containers);
        const { digest } = documents.descriptor;
        return { name, lower, kind: "stored", digest, settings: documents.config.config ?? {}, release };
      }
      release();
    } catch (error) {
      release();
      throw error;
    }
    if (!mayPull) return undefined;
    await pull(name, images, options);
  }
  return undefined;
}
