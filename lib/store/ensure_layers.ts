/**
 * The unpacked layers of stored images: each is unpacked once, whatever the number of images and commands that want it.
 *
 * @module
 */

import { AT_FDCWD, close } from "../../ffi/fs/fs.ts";
import { modeOf, removeAny, replaceFile } from "../../ffi/fs/paths.ts";
import { unpackLayer } from "./unpack_layer.ts";
import { isUnpacked, layerFolder, type LayerRecord } from "./layer_paths.ts";
import { lockFolder, sweep, TEMPORARY } from "./locked_directory.ts";
import type { ImageDocuments } from "./store.ts";
import { blobPath } from "./store.ts";
import { removeTree } from "../tar/tree.ts";

/** Progress of downloading and unpacking a layer. */
export interface LayerProgress {
  /** The layer's digest. */
  readonly digest: string;
  /** Its phase. */
  readonly phase: "waiting" | "downloading" | "unpacking" | "uploading" | "done";
  /** How many bytes are done. */
  readonly done: number;
  /** How many there are. */
  readonly total: number;
}

const MAX_CONCURRENCY = 3;
// Each keeps two processors busy, and takes some 35 MB of memory.
const UNPACKED_AT_ONCE = Math.min(3, Math.max(1, navigator.hardwareConcurrency >> 1));
let unpacking = 0;
const waiting: (() => void)[] = [];

/** Runs `work` when no more than a few layers are being unpacked by this process. */
async function withUnpackSlot<T>(work: () => Promise<T>): Promise<T> {
  if (unpacking >= UNPACKED_AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve));
  unpacking++;
  try {
    return await work();
  } finally {
    unpacking--;
    waiting.shift()?.();
  }
}

/**
 * Unpacks a layer unless that is done. Whole or not at all; who wants the same layer waits for the first. Returns whether
 * it was this call that unpacked it, and so verified that the blob has the diff ID.
 *
 * @throws {ImageError} as `unpackLayer`. Nothing is left then.
 */
export async function ensureLayer(
  store: string,
  digest: string,
  mediaType: string,
  diffId: string,
  signal?: AbortSignal,
): Promise<boolean> {
  const folder = layerFolder(store, diffId);
  const name = `.${folder.slice(folder.lastIndexOf("/") + 1)}${TEMPORARY}`, temporary = `${store}/layers/${name}`;
  const isDone = (): boolean => {
    signal?.throwIfAborted();
    return isUnpacked(store, diffId);
  };
  const locked = await lockFolder(temporary, isDone);
  if (locked === undefined) return false;
  try {
    if (isDone()) {
      removeTree(AT_FDCWD, temporary);
      return false;
    }
    sweep(`${store}/layers`, name);
    const diff = `${temporary}/diff`;
    removeTree(AT_FDCWD, diff);
    await Deno.mkdir(diff, { mode: 0o755 });
    await Deno.chmod(diff, 0o755);
    const blob = blobPath(store, digest);
    const { entries, bytes, implied } = await withUnpackSlot(() =>
      unpackLayer(blob, mediaType, diff, { diffId, signal })
    );
    const record: LayerRecord = { diffId, entries, bytes, ...(implied.length ? { implied } : {}) };
    replaceFile(`${temporary}/layer.json`, JSON.stringify(record) + "\n");
    if (modeOf(folder) === undefined) await Deno.rename(temporary, folder);
    else {
      // Only its record was damaged, or the directory would not be there; containers may be using it.
      removeAny(`${folder}/layer.json`);
      await Deno.rename(`${temporary}/layer.json`, `${folder}/layer.json`);
      removeTree(AT_FDCWD, temporary);
    }
    return true;
  } catch (error) {
    removeTree(AT_FDCWD, temporary);
    throw error;
  } finally {
    close(locked);
  }
}

/**
 * Runs `work` for every item, a few at a time. When one fails, those that run are told to end by their signal, and
 * nothing goes on when the first error is thrown.
 */
export async function mapConcurrent<T>(
  items: readonly T[],
  work: (item: T, signal: AbortSignal) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const rest = [...items], failed = new AbortController();
  const ending = AbortSignal.any([failed.signal, ...(signal ? [signal] : [])]);
  const worker = async (): Promise<void> => {
    for (let item = rest.shift(); item !== undefined && !ending.aborted; item = rest.shift()) await work(item, ending);
  };
  const workers = Array.from({ length: Math.min(MAX_CONCURRENCY, items.length) }, worker);
  await Promise.all(workers.map((working) => working.catch((error) => failed.abort(error))));
  ending.throwIfAborted();
}

/** Unpacks all layers of an image that are not. */
export async function ensureLayers(
  store: string,
  { manifest, config }: ImageDocuments,
  signal?: AbortSignal,
): Promise<void> {
  const layers = manifest.layers.map((layer, i) => ({ ...layer, diffId: config.rootfs.diff_ids[i] ?? "" }));
  await mapConcurrent(layers, async ({ digest, mediaType, diffId }, signal) => {
    await ensureLayer(store, digest, mediaType, diffId, signal);
  }, signal);
}
