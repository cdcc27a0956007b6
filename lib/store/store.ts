/**
 * The store of pulled and own images, `IMAGES/.store`. It is an OCI image layout, which other tools can read, with the
 * unpacked layers beside:
 *
 *     oci-layout, index.json      names, as descriptors with the annotation `org.opencontainers.image.ref.name`
 *     blobs/sha256/HEX            manifests, configurations and layers as they came; whole and verified
 *     partial/HEX                 a blob that is being downloaded, or was when a command was killed
 *     layers/HEX20/diff           an unpacked layer in overlayfs' form; the first 20 digits of its diff ID
 *     layers/HEX20/layer.json     what it is
 *     layers/iHEX20               see `missing_parents.ts`
 *     build/HEX64.json            the layer that a step of a build made, see `build/cache.ts`
 *     users/HEX20                 -> a directory of containers that has used the store
 *
 * @module
 */

import { AT_FDCWD, chmodAt, lock, openAt, SystemError } from "../../ffi/fs/fs.ts";
import { Fd } from "../../ffi/fs/fd.ts";
import { flags } from "../../ffi/program/flags.ts";
import { modeOf, readLink, readOwnFile, replaceFile } from "../../ffi/fs/paths.ts";
import { ImageError } from "../errors.ts";
import { waitUntil } from "../host/poll.ts";
import {
  type Descriptor,
  digestOf,
  type ImageConfig,
  type Index,
  isIndex,
  type Manifest,
  MEDIA,
  parseConfig,
  parseManifest,
} from "../oci.ts";
import { failedWith, removeTree } from "../tar/tree.ts";

/** The annotation that holds an image's name. */
export const NAME_ANNOTATION = "org.opencontainers.image.ref.name";

/** An image of the store. */
export interface StoredImage {
  /** Its full name: `docker.io/library/alpine:3.20`. */
  readonly name: string;
  /** Its manifest. */
  readonly descriptor: Descriptor;
}

/** An image's documents. */
export interface ImageDocuments {
  /** The descriptor of its manifest. */
  readonly descriptor: Descriptor;
  /** Its manifest. */
  readonly manifest: Manifest;
  /** Its configuration. */
  readonly config: ImageConfig;
}

/** Returns the store of a directory of images. */
export function storeFolder(images: string): string {
  return `${images}/.store`;
}

/** Returns the path of a blob. */
export function blobPath(store: string, digest: string): string {
  return `${store}/blobs/${digest.replace(":", "/")}`;
}

/** Reports whether the store exists. */
export function isMade(store: string): boolean {
  try {
    return Deno.statSync(`${store}/oci-layout`).isFile;
  } catch {
    return false;
  }
}

// In them are files as containers have them, set-user-id programs too (CVE-2021-41091).
const PRIVATE = ["layers", "partial"];

/**
 * Ensures that no other process can go through a directory, which may have been made otherwise. One that can only be read stays
 * as it is.
 */
export function keepPrivate(path: string): void {
  const mode = modeOf(path);
  if (mode === undefined || (mode & 0o077) === 0) return;
  try {
    chmodAt(AT_FDCWD, path, 0o700);
  } catch (error) {
    if (!failedWith(error, "EROFS", "EPERM")) throw error;
  }
}

/** Makes the store's directories where they are missing. */
export function makeStore(store: string): void {
  for (const name of ["blobs/sha256", "users"]) Deno.mkdirSync(`${store}/${name}`, { recursive: true, mode: 0o755 });
  for (const name of PRIVATE) {
    Deno.mkdirSync(`${store}/${name}`, { recursive: true, mode: 0o700 });
    keepPrivate(`${store}/${name}`);
  }
  if (readJson(`${store}/oci-layout`) === undefined) {
    replaceFile(`${store}/oci-layout`, JSON.stringify({ imageLayoutVersion: "1.0.0" }) + "\n", 0o644);
  }
}

/** Returns the text of a document; undefined if there is none, nor a file. */
function readJson(path: string): string | undefined {
  try {
    return readOwnFile(path);
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new ImageError(`${path} is damaged: ${error.message}`, {
      code: "store-damaged",
      facts: { path },
      hint: "it should be a file; remove what is there",
    });
  }
}

function readIndex(store: string): Index {
  const text = readJson(`${store}/index.json`);
  if (text === undefined) return { manifests: [] };
  try {
    const document = parseManifest(text, `${store}/index.json`);
    if (isIndex(document)) return document;
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
  }
  throw new ImageError(`${store}/index.json is damaged: it is not an index`, {
    code: "store-damaged",
    facts: { store },
    hint: "without it the store has no names: mv it away, and pull the images again, which takes no time",
  });
}

/** Returns all images, by name. */
export function listStored(store: string): StoredImage[] {
  const found = readIndex(store).manifests.flatMap((descriptor) => {
    const name = descriptor.annotations?.[NAME_ANNOTATION];
    return name === undefined ? [] : [{ name, descriptor }];
  });
  return found.sort((a, b) => a.name < b.name ? -1 : 1);
}

/** Returns the image called `name`, a full reference; undefined if there is none. */
export function findStored(store: string, name: string): Descriptor | undefined {
  return listStored(store).find((image) => image.name === name)?.descriptor;
}

/** Runs `work` while no other process changes names in the store. */
function whileLocked<T>(store: string, work: () => T): T {
  using file = new Fd(openLock(`${store}/index.lock`, "exclusive"));
  lock(file.number, "exclusive");
  return work();
}

function changeNames(store: string, change: (names: readonly StoredImage[]) => readonly StoredImage[]): void {
  whileLocked(store, () => {
    const manifests = change(listStored(store)).map(({ name, descriptor }) => ({
      ...descriptor,
      annotations: { ...descriptor.annotations, [NAME_ANNOTATION]: name },
    }));
    const index = { schemaVersion: 2, mediaType: MEDIA.index, manifests };
    replaceFile(`${store}/index.json`, JSON.stringify(index, null, 2) + "\n", 0o644);
  });
}

/** Gives an image a name, which another one loses if it has it. */
export function setName(store: string, name: string, descriptor: Descriptor): void {
  changeNames(store, (names) => [...names.filter((image) => image.name !== name), { name, descriptor }]);
}

/** Removes names. */
export function removeNames(store: string, gone: readonly string[]): void {
  changeNames(store, (names) => names.filter(({ name }) => !gone.includes(name)));
}

/** Returns the size of a file; undefined if it is not there. */
export function sizeOf(path: string): number | undefined {
  try {
    return Deno.statSync(path).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Reports whether a blob is stored completely. */
export function hasBlob(store: string, { digest, size }: Pick<Descriptor, "digest" | "size">): boolean {
  return sizeOf(blobPath(store, digest)) === size;
}

/** Makes a verified file a blob. Both must be on the store's file system. */
export function adoptBlob(store: string, path: string, digest: string): void {
  Deno.renameSync(path, blobPath(store, digest));
}

/** Adds a document as it stands. Returns what it is. */
export async function addDocument(store: string, text: string, mediaType: string): Promise<Descriptor> {
  const bytes = new TextEncoder().encode(text);
  const digest = await digestOf(bytes);
  const path = `${store}/partial/document-${crypto.randomUUID()}`;
  try {
    await Deno.writeFile(path, bytes);
    adoptBlob(store, path, digest);
  } finally {
    removeTree(AT_FDCWD, path);
  }
  return { mediaType, digest, size: bytes.length };
}

/**
 * Reads a document of the store.
 *
 * @throws {ImageError} `store-damaged` if it is missing or has another size.
 */
export function readDocument(store: string, { digest, size }: Pick<Descriptor, "digest" | "size">): string {
  const path = blobPath(store, digest);
  const text = readJson(path);
  if (text !== undefined && sizeOf(path) === size) return text;
  throw new ImageError(`the blob ${digest} is missing from ${store} or damaged`, {
    code: "store-damaged",
    facts: { digest, store },
    hint: "pull the image again; sauropod images verify finds all that is wrong",
  });
}

/**
 * Reads an image's manifest and configuration.
 *
 * @throws {ImageError} `store-damaged`, `image-malformed`.
 */
export function readImage(store: string, descriptor: Descriptor): ImageDocuments {
  const manifest = parseManifest(readDocument(store, descriptor), `the manifest ${descriptor.digest}`);
  if (isIndex(manifest)) {
    throw new ImageError(`${descriptor.digest} is a list of images`, {
      code: "image-malformed",
      facts: { digest: descriptor.digest },
    });
  }
  const config = parseConfig(readDocument(store, manifest.config), `the configuration ${manifest.config.digest}`);
  if (config.rootfs.diff_ids.length !== manifest.layers.length) {
    throw new ImageError(`the image ${descriptor.digest} has ${manifest.layers.length} layers, yet names others`, {
      code: "image-malformed",
      facts: { digest: descriptor.digest },
    });
  }
  return { descriptor, manifest, config };
}

/** Reports whether an error says that the store is read-only (EROFS). */
export function isReadOnly(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EROFS";
}

/** Remembers that a directory of containers uses the store, so that nothing is taken from under them. */
export async function noteUser(store: string, containers: string): Promise<void> {
  const digest = await digestOf(new TextEncoder().encode(containers));
  try {
    Deno.symlinkSync(containers, `${store}/users/${digest.slice("sha256:".length, "sha256:".length + 20)}`);
  } catch (error) {
    // A store that can only be read is not pruned from here.
    if (!isReadOnly(error) && !(error instanceof Deno.errors.AlreadyExists)) throw error;
  }
}

/** Returns the directories of containers that have used the store. */
export function usersOf(store: string): string[] {
  try {
    return [...Deno.readDirSync(`${store}/users`)].flatMap(({ name }) => readLink(`${store}/users/${name}`) || []);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

const POLL_MS = 10;

function openLock(path: string, kind: "shared" | "exclusive"): number {
  try {
    return openAt(AT_FDCWD, path, flags("O", "RDWR", "CREAT", "NOFOLLOW", "NONBLOCK"), 0o644);
  } catch (error) {
    // A shared lock needs read permission only.
    if (kind === "shared" && failedWith(error, "EROFS", "EACCES")) return openAt(AT_FDCWD, path, flags("O", "RDONLY"));
    throw error;
  }
}

/**
 * Keeps the store as it is, `shared` against being pruned and `exclusive` for pruning, until the descriptor returned is
 * closed.
 */
export async function holdStore(store: string, kind: "shared" | "exclusive"): Promise<number> {
  const fd = openLock(`${store}/store.lock`, kind);
  PRIVATE.forEach((name) => keepPrivate(`${store}/${name}`));
  // Not by a call that blocks: this process itself may hold it.
  await waitUntil(() => lock(fd, kind, false), { interval: POLL_MS });
  return fd;
}

/** Runs `work` while the store is held. */
export async function whileHeld<T>(
  store: string,
  kind: "shared" | "exclusive",
  work: () => T | Promise<T>,
): Promise<T> {
  using _hold = new Fd(await holdStore(store, kind));
  return await work();
}
