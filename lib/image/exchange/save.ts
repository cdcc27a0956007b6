/**
 * Writing stored images for other tools: as an OCI image layout, or as `docker save` does.
 *
 * @module
 */

import { ImageError, InputError } from "../../errors.ts";
import { writeOutput } from "../../tar/output_file.ts";
import { fileChunks, writeChunks } from "../../tar/chunks.ts";
import { decompress } from "../../tar/decompress.ts";
import { findImage } from "../manage.ts";
import { type Descriptor, isDigest, MEDIA } from "../../oci.ts";
import {
  blobPath,
  type ImageDocuments,
  makeStore,
  NAME_ANNOTATION,
  readImage,
  storeFolder,
  whileHeld,
} from "../../store/store.ts";
import { measure, measureAll, measuring } from "../../tar/measure.ts";
import { CONTAINERD_NAME } from "./layout.ts";
import { about } from "./problems.ts";
import { otherDigest } from "../../store/verify_layer.ts";
import { type Sink, type TarOutput, tarOutput } from "./tar_output.ts";

/** The format of a saved image: an OCI image layout, or that of `docker save`. */
export type SaveFormat = "oci" | "docker";

/** How to save. */
export interface SaveOptions {
  /** Aborts the work. */
  readonly signal?: AbortSignal;
}

type Bytes = Uint8Array<ArrayBuffer>;

interface NamedImage extends ImageDocuments {
  readonly name: string;
}

const encoder = new TextEncoder();

function findNamed(images: string, text: string): NamedImage {
  const { name, descriptor } = findImage(images, text);
  return { name, ...readImage(storeFolder(images), descriptor) };
}

/** Returns the bytes of a blob; throws at their end if they were others. */
async function* blobBytes(store: string, { digest }: Descriptor, signal?: AbortSignal): AsyncGenerator<Bytes> {
  const measured = measure();
  yield* measuring(fileChunks(blobPath(store, digest), signal), measured);
  const { digest: got } = measured.result();
  if (got !== digest) throw otherDigest(`the blob ${digest} of ${store}`, digest, got);
}

/** Returns the media type of a layer after decompression; errors name its blob. */
async function* plainBytes(store: string, layer: Descriptor, signal?: AbortSignal): AsyncGenerator<Bytes> {
  try {
    yield* decompress(blobBytes(store, layer, signal));
  } catch (error) {
    const isNamed = error instanceof ImageError && error.code === "digest-mismatch";
    throw isNamed ? error : about(`the blob ${layer.digest} of ${store}`, error);
  }
}

async function addText(tar: TarOutput, name: string, value: unknown): Promise<void> {
  const bytes = encoder.encode(JSON.stringify(value));
  await tar.file(name, bytes.length, [bytes]);
}

function hexOf(digest: string): string {
  return digest.slice("sha256:".length);
}

function layoutDocuments(images: readonly NamedImage[]) {
  const manifests = images.map(({ name, descriptor: { mediaType, digest, size } }) => ({
    mediaType,
    digest,
    size,
    ...(isDigest(name) ? {} : { annotations: { [CONTAINERD_NAME]: name, [NAME_ANNOTATION]: name } }),
  }));
  return {
    "oci-layout": { imageLayoutVersion: "1.0.0" },
    "index.json": { schemaVersion: 2, mediaType: MEDIA.index, manifests },
  };
}

function blobsOf(images: readonly NamedImage[]): Descriptor[] {
  const all = images.flatMap(({ descriptor, manifest }) => [descriptor, manifest.config, ...manifest.layers]);
  const unique = new Map(all.map((blob) => [blob.digest, blob]));
  return [...unique.values()].sort((a, b) => a.digest < b.digest ? -1 : 1);
}

async function writeLayout(store: string, images: readonly NamedImage[], tar: TarOutput, signal?: AbortSignal) {
  for (const [name, value] of Object.entries(layoutDocuments(images))) await addText(tar, name, value);
  await tar.folder("blobs/");
  await tar.folder("blobs/sha256/");
  for (const blob of blobsOf(images)) {
    await tar.file(`blobs/sha256/${hexOf(blob.digest)}`, blob.size, blobBytes(store, blob, signal));
  }
}

/** Writes a layout into a directory, which is new or empty. Its list of images comes last. */
async function writeLayoutFolder(store: string, images: readonly NamedImage[], folder: string, signal?: AbortSignal) {
  await Deno.mkdir(`${folder}/blobs/sha256`, { recursive: true });
  for (const blob of blobsOf(images)) {
    await writeChunks(`${folder}/blobs/sha256/${hexOf(blob.digest)}`, blobBytes(store, blob, signal));
  }
  for (const [name, value] of Object.entries(layoutDocuments(images))) {
    await Deno.writeTextFile(`${folder}/${name}`, JSON.stringify(value));
  }
}

/** Returns the size of a layer's uncompressed archive, which is verified. */
async function plainSize(store: string, layer: Descriptor, diffId: string, signal?: AbortSignal): Promise<number> {
  if (layer.digest === diffId) return layer.size;
  const { digest, size } = await measureAll(plainBytes(store, layer, signal));
  if (digest !== diffId) throw otherDigest(`the uncompressed layer ${layer.digest} of ${store}`, diffId, digest);
  return size;
}

/** Full names: podman takes short ones for `localhost/NAME`. A tag has no digest. */
function tagsOf(images: readonly NamedImage[]): string[] {
  return images.map(({ name }) => name).filter((name) => !name.includes("@") && !isDigest(name));
}

async function writeDocker(store: string, images: readonly NamedImage[], tar: TarOutput, signal?: AbortSignal) {
  const unique = Map.groupBy(images, ({ descriptor }) => descriptor.digest);
  const list = [...unique.values()].flatMap(([image, ...others]) =>
    image === undefined ? [] : {
      Config: `${hexOf(image.manifest.config.digest)}.json`,
      RepoTags: tagsOf([image, ...others]),
      Layers: image.config.rootfs.diff_ids.map((diffId) => `${hexOf(diffId)}.tar`),
    }
  );
  await addText(tar, "manifest.json", list);
  const written = new Set<string>();
  const isNew = (name: string): boolean => !written.has(name) && written.add(name).has(name);
  for (const { manifest, config } of images) {
    const configName = `${hexOf(manifest.config.digest)}.json`;
    if (isNew(configName)) {
      await tar.file(configName, manifest.config.size, blobBytes(store, manifest.config, signal));
    }
    for (const [i, layer] of manifest.layers.entries()) {
      const diffId = config.rootfs.diff_ids[i] ?? "", name = `${hexOf(diffId)}.tar`;
      if (!isNew(name)) continue;
      const size = await plainSize(store, layer, diffId, signal);
      await tar.file(name, size, plainBytes(store, layer, signal));
    }
  }
}

const FORMATS = { oci: writeLayout, docker: writeDocker };

async function withSink(to: string | WritableStream<Uint8Array>, work: (sink: Sink) => Promise<void>): Promise<void> {
  if (typeof to !== "string") {
    const writer = to.getWriter();
    // Nobody knows how long a stream holds on to what it is given.
    await work((bytes) => writer.write(bytes.slice())).then(() => writer.close(), async (error) => {
      await writer.abort(error).catch(() => {});
      throw error;
    });
    return;
  }
  await writeOutput(to, work);
}

function refuse(message: string, hint: string): never {
  throw new InputError(message, { code: "bad-target", hint });
}

/** Reports whether `to` means a directory: it ends with a slash, or is one. Throws if it is one that is not empty. */
async function isFolder(to: string | WritableStream<Uint8Array>): Promise<boolean> {
  if (typeof to !== "string") return false;
  const there = await Deno.stat(to).then(({ isDirectory }) => isDirectory, () => false);
  if (there && [...Deno.readDirSync(to)].length > 0) refuse(`the folder ${to} is not empty`, "name another one");
  return there || to.endsWith("/");
}

/**
 * Writes images, named or told by the beginning of a digest, as an archive into a file or stream, or as an OCI layout into a directory: one that is there and empty, or
 * whose name ends with a slash. The same images give the same bytes. All that is written is verified on the way.
 *
 * @throws {InputError} `bad-reference`, `bad-target`.
 * @throws {ImageError} `image-not-found`, `store-damaged`, `digest-mismatch`.
 */
export async function saveImages(
  images: string,
  names: readonly string[],
  to: string | WritableStream<Uint8Array>,
  format: SaveFormat,
  { signal }: SaveOptions = {},
): Promise<void> {
  const store = storeFolder(images);
  if (names.length === 0) refuse("there is nothing to save", "name an image");
  const folder = await isFolder(to);
  if (folder && format === "docker") refuse("only OCI layouts are written into folders", "name a file");
  makeStore(store);
  await whileHeld(store, "shared", async () => {
    const found = new Map(names.map((text) => findNamed(images, text)).map((image) => [image.name, image]));
    const chosen = [...found.values()];
    try {
      if (folder && typeof to === "string") return await writeLayoutFolder(store, chosen, to, signal);
      await withSink(to, async (sink) => {
        const tar = tarOutput(sink);
        await FORMATS[format](store, chosen, tar, signal);
        await tar.end();
      });
    } catch (error) {
      throw about(typeof to === "string" ? to : "standard output", error);
    }
  });
}
