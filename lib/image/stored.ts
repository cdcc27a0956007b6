/**
 * Images of the store, ready to be mounted.
 *
 * @module
 */

import { close } from "../../ffi/fs.ts";
import { modeOf } from "../../ffi/paths.ts";
import type { PullPolicy } from "../container/options.ts";
import { SauropodError } from "../errors.ts";
import { lazy } from "../lazy.ts";
import { formatReference, parseReference } from "../registry/reference.ts";
import { impliedFolder, isUnpacked, lowerFolders } from "./layer_folders.ts";
import type { LayerProgress } from "./layers.ts";
import type { Image } from "./resolve.ts";
import { findStored, holdStore, type ImageDocuments, isMade, noteUser, readImage, storeFolder } from "./store.ts";

/** How to look for an image. */
export interface StoredOptions {
  /** When to pull it. Default: `missing`. */
  pull?: PullPolicy;
  /** The kind of machine: an image for another one is not the image. Default: whichever is there, this one if pulled. */
  platform?: string;
  /** Gives up when aborted. */
  signal?: AbortSignal;
  /** Hears how pulling it goes on. */
  onProgress?: (progress: LayerProgress) => void;
  /** The folder of containers that the image is for: it is remembered as a user of the store. Default: none. */
  containers?: string;
}

/** The full name of an image; undefined if `name` cannot be one. */
export function fullName(name: string): string | undefined {
  try {
    return formatReference(parseReference(name));
  } catch (error) {
    if (error instanceof SauropodError) return undefined;
    throw error;
  }
}

async function pull(name: string, images: string, options: StoredOptions): Promise<void> {
  const { pullImage } = await lazy.pull();
  await pullImage(name, images, options);
}

/**
 * The folders of an image whose blobs are in the store, uppermost first, unpacked if need be. Only the layers, their diff
 * ids and the digest of its configuration are looked at.
 *
 * @throws {ImageError} for everything that is wrong with a layer.
 */
export async function ready(store: string, documents: ImageDocuments, signal?: AbortSignal): Promise<string[]> {
  if (!documents.config.rootfs.diff_ids.every((diffId) => isUnpacked(store, diffId))) {
    const [{ ensureLayers }, { whileRoom }] = await Promise.all([lazy.layers(), lazy.full()]);
    await whileRoom(store, () => ensureLayers(store, documents, signal));
  }
  if (modeOf(impliedFolder(store, documents)) === undefined) {
    const { ensureImplied } = await lazy.implied();
    await ensureImplied(store, documents);
  }
  return lowerFolders(store, documents);
}

/** Whether a stored image is for the machine that was asked for, if one was. */
function fits({ config }: ImageDocuments, platform: string | undefined): boolean {
  if (platform === undefined) return true;
  const [os, architecture, variant] = platform.split("/");
  return config.os === os && config.architecture === architecture &&
    (variant === undefined || config.variant === variant);
}

/**
 * The image of that name in the store, pulled if need be; undefined if it is not there and is not to be pulled. The
 * store is held against pruning until `release` is called.
 *
 * @throws {ImageError} for everything that is wrong with the image or its registry.
 */
export async function resolveStored(
  name: string,
  images: string,
  options: StoredOptions = {},
): Promise<Image | undefined> {
  const full = fullName(name);
  if (full === undefined) return undefined;
  const store = storeFolder(images);
  const { pull: policy = "missing" } = options;
  if (policy === "always") await pull(name, images, options);
  for (const mayPull of [policy === "missing", false]) {
    const hold = isMade(store) ? await holdStore(store, "shared") : undefined;
    const release = (): void => {
      if (hold !== undefined) close(hold);
    };
    try {
      const descriptor = hold === undefined ? undefined : findStored(store, full);
      const documents = descriptor && readImage(store, descriptor);
      if (documents && fits(documents, options.platform)) {
        const lower = await ready(store, documents, options.signal);
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
