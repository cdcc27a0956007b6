/**
 * Pulling images from registries into the store.
 *
 * @module
 */

import { Fd } from "../../ffi/fs/fd.ts";
import { ImageError } from "../errors.ts";
import { listed } from "../text/listed.ts";
import { downloadBlob } from "../registry/download.ts";
import { openRegistry, type Registry } from "../registry/client.ts";
import { fetchManifest, lookUpManifest } from "../registry/manifests.ts";
import { formatReference, type Reference } from "../registry/reference.ts";
import { explainDiskFull, isFull, noRoom } from "../store/enospc.ts";
import { isUnpacked } from "../store/layer_paths.ts";
import { ensureLayer, type LayerProgress, mapConcurrent } from "../store/ensure_layers.ts";
import { lockFolder, sweep, TEMPORARY } from "../store/locked_directory.ts";
import { freeBytes } from "../../ffi/fs/filesystems.ts";
import { AT_FDCWD, close } from "../../ffi/fs/fs.ts";
import { formatSize } from "../text/size.ts";
import {
  checkLayers,
  checkNesting,
  type Descriptor,
  digestOf,
  formatPlatform,
  hostPlatform,
  type Index,
  isIndex,
  type Manifest,
  MAX_DOCUMENT_BYTES,
  parseConfig,
  parseManifest,
  parsePlatform,
  type Platform,
} from "../oci.ts";
import { parseNewName } from "./reserved_names.ts";
import {
  addDocument,
  blobPath,
  findStored,
  hasBlob,
  isMade,
  makeStore,
  readDocument,
  readImage,
  setName,
  sizeOf,
  type StoredImage,
  storeFolder,
  whileHeld,
} from "../store/store.ts";
import { openDirectory, removeTree } from "../tar/tree.ts";
import { verifyLayer } from "../store/verify_layer.ts";

const MOST_FACTS = 100;
/** The annotation of an image's name that says which index the name stood for. */
const NAMED_ANNOTATION = "io.sauropod.index";

/** How to pull. */
export interface PullOptions {
  /** The platform as `OS/ARCHITECTURE[/VARIANT]`. Default: this one. */
  platform?: string;
  /** Aborts the work. What has been downloaded stays for the next time. */
  signal?: AbortSignal;
  /** Is told of each layer's progress. */
  onProgress?: (progress: LayerProgress) => void;
}

/** Returns the image of an index that is for `platform`; without a variant the first of the architecture. */
export function chooseImage({ manifests }: Index, platform: Platform, name: string): Descriptor {
  const fitting = manifests.filter(({ platform: one }) =>
    one?.os === platform.os && one.architecture === platform.architecture &&
    (platform.variant === undefined || one.variant === platform.variant)
  );
  const [first] = fitting;
  if (first) return first;
  const known = manifests.flatMap(({ platform }) =>
    platform && platform.os !== "unknown" ? formatPlatform(platform) : []
  );
  throw new ImageError(`${name} is not made for ${formatPlatform(platform)}`, {
    code: "image-not-found",
    facts: { name, platform: formatPlatform(platform), known: known.slice(0, MOST_FACTS) },
    hint: `it is there for ${listed(known) || "no machine at all"}`,
  });
}

interface Resolved {
  /** The digest that the name stands for: of the image's manifest, or of the index that it was chosen from. */
  readonly named: string;
  readonly descriptor: Descriptor;
  readonly text: string;
  readonly manifest: Manifest;
}

/** Rejects an image that could not be used, before anything of it is fetched. */
function usable(resolved: Resolved, name: string): Resolved {
  const { manifest } = resolved, { size } = manifest.config;
  checkLayers(manifest, name);
  if (size <= MAX_DOCUMENT_BYTES) return resolved;
  throw new ImageError(
    `the configuration of ${name} has ${size} bytes, and at most ${MAX_DOCUMENT_BYTES} are fetched`,
    {
      code: "image-malformed",
      facts: { name, size, limit: MAX_DOCUMENT_BYTES },
    },
  );
}

async function resolve(registry: Registry, reference: Reference, platform: Platform): Promise<Resolved> {
  const name = formatReference(reference);
  const { descriptor, text } = await fetchManifest(registry, reference);
  checkNesting(text, `the manifest of ${name}`);
  const document = parseManifest(text, `the manifest of ${name}`);
  if (!isIndex(document)) return usable({ named: descriptor.digest, descriptor, text, manifest: document }, name);
  const chosen = chooseImage(document, platform, name);
  const found = await fetchManifest(registry, { ...reference, digest: chosen.digest }, chosen);
  checkNesting(found.text, `the manifest ${chosen.digest} of ${name}`);
  const manifest = parseManifest(found.text, `the manifest ${chosen.digest} of ${name}`);
  if (!isIndex(manifest)) return usable({ ...found, named: descriptor.digest, manifest }, name);
  throw new ImageError(`${name} is a list of lists of images`, { code: "image-unsupported", facts: { name } });
}

/** Reports whether an image is in the store completely, for this platform. */
async function isWhole(store: string, descriptor: Descriptor, platform: Platform): Promise<boolean> {
  try {
    const { manifest, config } = readImage(store, descriptor);
    for (const one of [descriptor, manifest.config]) {
      const bytes = new TextEncoder().encode(readDocument(store, one));
      if (await digestOf(bytes) !== one.digest) return false;
    }
    return config.os === platform.os && config.architecture === platform.architecture &&
      (platform.variant === undefined || config.variant === platform.variant) &&
      manifest.layers.every((layer) => hasBlob(store, layer)) &&
      config.rootfs.diff_ids.every((diffId) => isUnpacked(store, diffId));
  } catch (error) {
    if (error instanceof ImageError) return false;
    throw error;
  }
}

/** Returns the image of that name in the store, if the name stands for it still. Asking that is no download. */
async function current(
  store: string,
  registry: Registry,
  reference: Reference,
  platform: Platform,
): Promise<StoredImage | undefined> {
  const name = formatReference(reference), descriptor = findStored(store, name);
  if (!descriptor || !await isWhole(store, descriptor, platform)) return undefined;
  const digest = reference.digest ?? await lookUpManifest(registry, reference).catch((error) => {
    // Some servers answer nothing but GET.
    if (!(error instanceof ImageError) || error.code !== "registry-error") throw error;
  });
  const known = [descriptor.digest, descriptor.annotations?.[NAMED_ANNOTATION]];
  return digest !== undefined && known.includes(digest) ? { name, descriptor } : undefined;
}

/** Returns the path of a blob that is being downloaded. */
function partPath(store: string, { digest }: Descriptor): string {
  return `${store}/partial/${digest.slice("sha256:".length)}`;
}

/** Rejects a blob that has no place on the disk, before the disk is full of it; `there` bytes of it have come already. */
function checkRoom(store: string, { digest, size }: Descriptor, there: number): void {
  using partial = new Fd(openDirectory(AT_FDCWD, `${store}/partial`));
  const free = freeBytes(partial.number), wanted = size - there;
  if (wanted <= free) return;
  throw noRoom(store, `the blob ${digest} takes ${formatSize(wanted)} more, and ${formatSize(free)} are free`);
}

/** Downloads a blob unless it is there; who wants the same one waits for the first. Returns whether it did. */
async function ensureBlob(
  store: string,
  registry: Registry,
  repository: string,
  descriptor: Descriptor,
  signal: AbortSignal | undefined,
  onProgress: (done: number) => void,
  isDocument = false,
): Promise<boolean> {
  const lockPath = `${store}/partial/.${descriptor.digest.slice("sha256:".length)}${TEMPORARY}`;
  const locked = await lockFolder(lockPath, () => {
    signal?.throwIfAborted();
    return hasBlob(store, descriptor);
  });
  if (locked === undefined) return false;
  try {
    if (hasBlob(store, descriptor)) return false;
    const path = partPath(store, descriptor);
    checkRoom(store, descriptor, sizeOf(path) ?? 0);
    await downloadBlob(registry, repository, descriptor, path, { signal, onProgress, isDocument });
    await Deno.rename(path, blobPath(store, descriptor.digest));
    return true;
  } catch (error) {
    // Otherwise a partial download stays for the next time; here it would keep the disk full.
    if (isFull(error)) removeTree(AT_FDCWD, partPath(store, descriptor));
    throw error;
  } finally {
    removeTree(AT_FDCWD, lockPath);
    close(locked);
  }
}

/**
 * Pulls an image: its documents and layers are downloaded and verified, and the layers unpacked, as far as that has not
 * been done; then it gets its name.
 *
 * @throws {InputError} `bad-reference`, `bad-platform`.
 * @throws {ImageError} for everything that is wrong with the registry or the image. What is whole stays in the store.
 */
export async function pullImage(text: string, images: string, options: PullOptions = {}): Promise<StoredImage> {
  const { signal } = options;
  const reference = parseNewName(text);
  const platform = options.platform === undefined ? hostPlatform() : parsePlatform(options.platform);
  const store = storeFolder(images);
  const registry = openRegistry(reference.registry, { signal });
  // No store is made for an image that cannot be had, such as that of a mistyped command.
  const resolved = isMade(store) ? undefined : await resolve(registry, reference, platform);
  return await explainDiskFull(store, async () => {
    makeStore(store);
    return await whileHeld(store, "shared", () => pullInto(store, registry, reference, platform, options, resolved));
  });
}

/** Fetches the configuration of an image, and says what its layers are when they are decompressed. */
async function fetchDiffIds(
  store: string,
  registry: Registry,
  reference: Reference,
  manifest: Manifest,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  await ensureBlob(store, registry, reference.repository, manifest.config, signal, () => {}, true);
  const name = formatReference(reference);
  const text = readDocument(store, manifest.config), what = `the configuration of ${name}`;
  checkNesting(text, what);
  const config = parseConfig(text, what);
  const diffIds = config.rootfs.diff_ids, { length } = manifest.layers;
  if (diffIds.length === length) return diffIds;
  throw new ImageError(`${name} has ${length} layers and names ${diffIds.length}`, {
    code: "image-malformed",
    facts: { name },
  });
}

async function pullInto(
  store: string,
  registry: Registry,
  reference: Reference,
  platform: Platform,
  { signal, onProgress = () => {} }: PullOptions,
  resolved?: Resolved,
): Promise<StoredImage> {
  sweep(`${store}/partial`);
  const there = resolved ? undefined : await current(store, registry, reference, platform);
  if (there) return there;
  const name = formatReference(reference);
  const { named, descriptor, text: document, manifest } = resolved ?? await resolve(registry, reference, platform);
  const { repository } = reference;
  const diffIds = fetchDiffIds(store, registry, reference, manifest, signal);
  const { layers } = manifest, wrong = new AbortController();
  diffIds.catch((error) => wrong.abort(error));
  for (const { digest, size } of layers) onProgress({ digest, phase: "waiting", done: 0, total: size });
  const work = mapConcurrent([...layers.entries()], async ([i, layer], signal) => {
    const { digest, size: total } = layer;
    const isNew = await ensureBlob(store, registry, repository, layer, signal, (done) => {
      onProgress({ digest, phase: "downloading", done, total });
    });
    const diffId = (await diffIds)[i] ?? "";
    if (!isUnpacked(store, diffId)) onProgress({ digest, phase: "unpacking", done: total, total });
    if (isNew) await verifyLayer(store, layer, diffId, signal);
    else await ensureLayer(store, digest, layer.mediaType, diffId, signal);
    onProgress({ digest, phase: "done", done: total, total });
  }, AbortSignal.any([wrong.signal, ...(signal ? [signal] : [])]));
  await Promise.allSettled([work, diffIds]);
  await work;
  await diffIds;
  const added = await addDocument(store, document, descriptor.mediaType);
  if (added.digest !== descriptor.digest) {
    throw new ImageError(`the manifest of ${name} cannot be kept as it came: it is ${added.digest} then`, {
      code: "digest-mismatch",
      facts: { name, wanted: descriptor.digest, got: added.digest },
    });
  }
  const stored = { ...added, ...(named === added.digest ? {} : { annotations: { [NAMED_ANNOTATION]: named } }) };
  setName(store, name, stored);
  return { name, descriptor: stored };
}
