/**
 * Taking images, with the names they have, out of archives and directories that other tools made.
 *
 * @module
 */

import { ImageError, InputError } from "../../errors.ts";
import { fileChunks, streamBytes } from "../../tar/chunks.ts";
import { decompress } from "../../tar/decompress.ts";
import { mapConcurrent } from "../../store/ensure_layers.ts";
import type { Descriptor } from "../../oci.ts";
import { parseNewName } from "../reserved_names.ts";
import { adoptBlob, hasBlob, setName, type StoredImage, storeFolder } from "../../store/store.ts";
import { archiveContents, type Contents, folderContents } from "./contents.ts";
import { verifyLayer } from "../../store/verify_layer.ts";
import { findImages } from "./find.ts";
import type { FoundBlob, FoundImage } from "./found.ts";
import { about } from "./problems.ts";
import { type Spool, withSpool } from "./spool.ts";

/** An archive or directory: its path, or the bytes of an archive. */
export type Source = string | ReadableStream<Uint8Array>;

/** How to load. */
export interface LoadOptions {
  /** Aborts the work. */
  readonly signal?: AbortSignal;
}

/** Name of a source in messages. */
export function sourceName(source: Source): string {
  return typeof source === "string" ? source : "standard input";
}

/** Runs `work`; its errors say that they are about `source`. */
export async function whileReading<T>(source: Source, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw about(sourceName(source), error);
  }
}

/** Returns the files of an archive or directory. */
export async function openContents(source: Source, spool: Spool, signal?: AbortSignal): Promise<Contents> {
  if (typeof source === "string" && (await Deno.stat(source)).isDirectory) return folderContents(source, spool, signal);
  const bytes = typeof source === "string" ? fileChunks(source, signal) : streamBytes(source, signal);
  return archiveContents(decompress(bytes), spool);
}

async function adopt(store: string, { file, descriptor }: FoundBlob): Promise<void> {
  // A file that is several blobs, or a blob of several images, was moved before.
  const there = await Deno.stat(file.path).then(() => true, () => false);
  if (there || !hasBlob(store, descriptor)) adoptBlob(store, file.path, descriptor.digest);
}

/** Copies an image into the store, without a name. */
export async function takeImage(store: string, image: FoundImage, signal?: AbortSignal): Promise<Descriptor> {
  for (const blob of [...image.layers, image.config]) await adopt(store, blob);
  const layers = image.layers.map(({ descriptor }, i) => ({ descriptor, diffId: image.diffIds[i] ?? "" }));
  const unique = new Map(layers.map((layer) => [`${layer.descriptor.digest} ${layer.diffId}`, layer]));
  // One after the other where several blobs claim to be the same layer: only one of them is unpacked.
  const groups = Map.groupBy(unique.values(), ({ diffId }) => diffId);
  await mapConcurrent([...groups.values()], async (group, signal) => {
    for (const { descriptor, diffId } of group) await verifyLayer(store, descriptor, diffId, signal);
  }, signal);
  // Last: who knows its digest can use an image that has no name.
  await adopt(store, image.manifest);
  const { mediaType, digest, size } = image.manifest.descriptor;
  return { mediaType, digest, size };
}

/** Rejects an archive whose image has a name that means something else here. */
function refuseReserved(name: string): void {
  try {
    parseNewName(name);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    const hint = "give it another name: sauropod images import FILE NAME";
    throw new ImageError(error.message, { code: error.code, facts: error.facts, hint, cause: error });
  }
}

/**
 * Takes the images of an OCI layout (a directory, or an archive in any compression that is known) or of an archive of
 * `docker save` into the store, with the names they have there. All of them are verified and unpacked before the first
 * gets its name. One without a name is known by its digest, until it is given a name or pruned.
 *
 * @throws {ImageError} for everything that is wrong with the archive; no name has changed then.
 */
export function loadImages(images: string, source: Source, options: LoadOptions = {}): Promise<StoredImage[]> {
  const { signal } = options;
  return withSpool(storeFolder(images), (spool) =>
    whileReading(source, async () => {
      const found = await findImages(await openContents(source, spool, signal), spool);
      const loaded: StoredImage[] = [];
      for (const { names } of found) names.forEach(refuseReserved);
      for (const image of found) {
        const descriptor = await takeImage(spool.store, image, signal);
        const names = image.names.length ? image.names : [descriptor.digest];
        loaded.push(...names.map((name) => ({ name, descriptor })));
      }
      for (const { name, descriptor } of loaded) {
        if (name !== descriptor.digest) setName(spool.store, name, descriptor);
      }
      return loaded;
    }));
}
