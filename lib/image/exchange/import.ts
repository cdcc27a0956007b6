/**
 * Making an image of a root file system, or of an image that another tool made.
 *
 * @module
 */

import { ImageError, InputError } from "../../errors.ts";
import { listed } from "../../text/listed.ts";
import { formatReference } from "../../registry/reference.ts";
import { fileChunks, streamBytes } from "../../tar/chunks.ts";
import { decompress } from "../../tar/decompress.ts";
import { ensureLayers } from "../../store/ensure_layers.ts";
import { type Descriptor, type ImageSettings, MEDIA, type Platform } from "../../oci.ts";
import { packLayer, type PackOptions } from "../../store/pack_layer.ts";
import { parseNewName } from "../reserved_names.ts";
import { adoptBlob, readDocument, readImage, setName, type StoredImage, storeFolder } from "../../store/store.ts";
import { measure, measureAll, measuring } from "../../tar/measure.ts";
import { gzip } from "../../tar/transform.ts";
import { detect } from "./detect.ts";
import { compressionOf } from "./docker_archive.ts";
import { findImages } from "./find.ts";
import type { FoundImage } from "./found.ts";
import { openContents, type Source, takeImage, whileReading } from "./load.ts";
import { type Spool, withSpool } from "./spool.ts";
import { type NewLayer, writeImage } from "./write_image.ts";

/** How to import. */
export interface ImportOptions {
  /** Container config of the image. Default: that of the source, empty for a file system. */
  readonly changes?: ImageSettings;
  /** The platform that a file system is for. Default: this one. */
  readonly platform?: Platform;
  /** A remark for the history. */
  readonly message?: string;
  /** Aborts the work. */
  readonly signal?: AbortSignal;
}

const CREATED_BY = "sauropod images import";

/** Returns the full name for a new image. Throws {@linkcode InputError} `bad-reference` if that is none or has a digest, and `reserved-name`. */
export function newName(text: string): string {
  const reference = parseNewName(text);
  if (reference.digest === undefined) return formatReference(reference);
  throw new InputError(`${text} has a digest, which is not to be chosen`, {
    code: "bad-reference",
    facts: { reference: text },
    hint: "name it NAME or NAME:TAG",
  });
}

/** Returns a packed directory as a layer of the store. */
export async function layerOfFolder(spool: Spool, folder: string, options: PackOptions): Promise<NewLayer> {
  const path = spool.newPath();
  const { digest, size, diffId } = await packLayer(folder, path, options);
  adoptBlob(spool.store, path, digest);
  return { descriptor: { mediaType: MEDIA.layerGzip, digest, size }, diffId };
}

/** Returns an archive of a root file system as a layer of the store: as it stands if it is compressed. */
async function layerOfArchive(spool: Spool, path: string, signal?: AbortSignal): Promise<NewLayer> {
  const compression = await compressionOf(path);
  const inner = measure();
  const plain = compression === "none";
  const file = await spool.keep(plain ? gzip(measuring(fileChunks(path, signal), inner)) : fileChunks(path, signal));
  const { digest: diffId } = plain ? inner.result() : await measureAll(decompress(fileChunks(file.path, signal)));
  adoptBlob(spool.store, file.path, file.digest);
  const mediaType = compression === "zstd" ? MEDIA.layerZstd : MEDIA.layerGzip;
  return { descriptor: { mediaType, digest: file.digest, size: file.size }, diffId };
}

async function importFiles(spool: Spool, path: string, options: ImportOptions): Promise<Descriptor> {
  const { signal, ...rest } = options;
  const { isDirectory } = await Deno.stat(path);
  const layer = isDirectory ? await layerOfFolder(spool, path, { signal }) : await layerOfArchive(spool, path, signal);
  const descriptor = await writeImage(spool.store, { ...rest, layers: [layer], added: 1, createdBy: CREATED_BY });
  // An archive is not known to be safe before it is unpacked.
  if (!isDirectory) await ensureLayers(spool.store, readImage(spool.store, descriptor), signal);
  return descriptor;
}

function onlyImage(found: readonly FoundImage[], name: string): FoundImage {
  const [first, ...others] = found;
  const image = found.find(({ names }) => names.includes(name)) ?? (others.length === 0 ? first : undefined);
  if (image) return image;
  const names = found.flatMap(({ names }) => names);
  throw new ImageError(`there are ${found.length} images in it, and none is called ${name}`, {
    code: "image-ambiguous",
    facts: { names },
    hint: `sauropod images load takes all of them: ${listed(names) || "they have no names"}`,
  });
}

/** Returns the JSON of an image's configuration, with all that is in it. */
export function rawConfig(store: string, config: Descriptor): Record<string, unknown> {
  const value: unknown = JSON.parse(readDocument(store, config));
  return typeof value === "object" && value !== null ? { ...value } : {};
}

/** Returns an image like a stored one, with some of its settings changed. */
async function changeImage(store: string, descriptor: Descriptor, options: ImportOptions): Promise<Descriptor> {
  const { changes = {}, message } = options;
  if (Object.keys(changes).length === 0 && message === undefined) return descriptor;
  const { manifest, config } = readImage(store, descriptor);
  return await writeImage(store, {
    base: rawConfig(store, manifest.config),
    layers: manifest.layers.map((layer, i) => ({ descriptor: layer, diffId: config.rootfs.diff_ids[i] ?? "" })),
    added: 0,
    createdBy: CREATED_BY,
    changes,
    message,
  });
}

async function importFound(spool: Spool, path: string, name: string, options: ImportOptions): Promise<Descriptor> {
  const found = await findImages(await openContents(path, spool, options.signal), spool);
  const taken = await takeImage(spool.store, onlyImage(found, name), options.signal);
  return changeImage(spool.store, taken, options);
}

/**
 * Makes the image `name` of a directory or archive, which holds a root file system or an image: an OCI layout, or what
 * `docker save` writes. What it is is told by its content, and so is the compression of an archive.
 *
 * @throws {InputError} `bad-reference`.
 * @throws {ImageError} for everything that is wrong with the source; the store has no new name then.
 */
export async function importImage(
  images: string,
  source: Source,
  name: string,
  options: ImportOptions = {},
): Promise<StoredImage> {
  const full = newName(name);
  return await withSpool(storeFolder(images), (spool) =>
    whileReading(source, async () => {
      const { signal } = options;
      const path = typeof source === "string" ? source : (await spool.keep(streamBytes(source, signal))).path;
      const held = await detect(path, signal);
      const descriptor = held === "files"
        ? await importFiles(spool, path, options)
        : await importFound(spool, path, full, options);
      setName(spool.store, full, descriptor);
      return { name: full, descriptor };
    }));
}
