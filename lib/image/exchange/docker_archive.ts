/**
 * Reading the archives of `docker save`, as Docker, podman, skopeo, kaniko, crane and Nix write them.
 *
 * @module
 */

import { formatReference, parseReference } from "../../registry/reference.ts";
import { InputError } from "../../errors.ts";
import { type Compression, sniff } from "../../tar/decompress.ts";
import { MAX_LAYERS, MEDIA, parseConfig, tooManyLayers } from "../../oci.ts";
import { type Contents, readJson, readText } from "./contents.ts";
import type { FoundBlob, FoundImage } from "./found.ts";
import { malformed, missing } from "./problems.ts";
import { otherDigest } from "../../store/verify_layer.ts";
import type { Spool, SpooledFile } from "./spool.ts";

/** One image of `manifest.json`. */
interface DockerImage {
  readonly config: string;
  readonly names: readonly string[];
  readonly layers: readonly string[];
}

const WHAT = "manifest.json";
const LAYER_TYPES: Readonly<Partial<Record<Compression, string>>> = { gzip: MEDIA.layerGzip, zstd: MEDIA.layerZstd };

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}

function readImage(value: unknown): DockerImage {
  if (typeof value !== "object" || value === null) throw malformed(WHAT, "an image is not an object");
  const { Config: config, RepoTags: names, Layers: layers }: Record<string, unknown> = { ...value };
  if (typeof config !== "string") throw malformed(WHAT, "an image has no configuration");
  if (!isTexts(names ?? [])) throw malformed(WHAT, "an image's RepoTags are not a list of names");
  if (!isTexts(layers ?? [])) throw malformed(WHAT, "an image's Layers are not a list of files");
  return { config, names: isTexts(names) ? names : [], layers: isTexts(layers) ? layers : [] };
}

function fullName(text: string): string {
  try {
    return formatReference(parseReference(text));
  } catch (error) {
    throw error instanceof InputError ? malformed(WHAT, error.message) : error;
  }
}

/** Returns the compression of a file. */
export async function compressionOf(path: string): Promise<Compression> {
  using file = await Deno.open(path);
  const start = new Uint8Array(6);
  const n = await file.read(start) ?? 0;
  return sniff(start.subarray(0, n));
}

/** Most writers name a configuration after its digest. */
function checkConfigName(name: string, file: SpooledFile): void {
  const hex = /^(?:sha256:|blobs\/sha256\/)?([0-9a-f]{64})(?:\.json)?$/.exec(name)?.[1];
  if (hex !== undefined && file.digest !== `sha256:${hex}`) {
    throw otherDigest(`the configuration ${name}`, `sha256:${hex}`, file.digest);
  }
}

async function findFile(contents: Contents, name: string, what: string): Promise<SpooledFile> {
  const file = await contents.find(name);
  if (!file) throw missing(what, name);
  return file;
}

async function findLayer(contents: Contents, name: string, diffId: string): Promise<FoundBlob> {
  const file = await findFile(contents, name, `the layer ${diffId}`);
  const mediaType = LAYER_TYPES[await compressionOf(file.path)] ?? MEDIA.layer;
  if (mediaType === MEDIA.layer && file.digest !== diffId) throw otherDigest(`the layer ${name}`, diffId, file.digest);
  return { file, descriptor: { mediaType, digest: file.digest, size: file.size } };
}

async function findImage(contents: Contents, spool: Spool, image: DockerImage): Promise<FoundImage> {
  const file = await findFile(contents, image.config, "the configuration of an image");
  checkConfigName(image.config, file);
  const what = `the configuration ${image.config}`;
  const diffIds = parseConfig(await readText(file, what), what).rootfs.diff_ids;
  if (image.layers.length > MAX_LAYERS) throw tooManyLayers(image.names[0] ?? "an image", image.layers.length);
  if (diffIds.length !== image.layers.length) {
    throw malformed(what, `it names ${diffIds.length} layers and ${WHAT} ${image.layers.length}`);
  }
  const layers: FoundBlob[] = [];
  for (const [i, name] of image.layers.entries()) layers.push(await findLayer(contents, name, diffIds[i] ?? ""));
  const config = { file, descriptor: { mediaType: MEDIA.config, digest: file.digest, size: file.size } };
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA.manifest,
    config: config.descriptor,
    layers: layers.map(({ descriptor }) => descriptor),
  };
  const manifest = await spool.keep([new TextEncoder().encode(JSON.stringify(document))]);
  return {
    names: image.names.map(fullName),
    manifest: {
      file: manifest,
      descriptor: { mediaType: MEDIA.manifest, digest: manifest.digest, size: manifest.size },
    },
    config,
    layers,
    diffIds,
  };
}

/** Returns the images of an archive of `docker save`; undefined if it is none. */
export async function dockerImages(contents: Contents, spool: Spool): Promise<FoundImage[] | undefined> {
  const file = await contents.find(WHAT);
  if (!file) return undefined;
  const value = await readJson(file, WHAT);
  if (!Array.isArray(value)) throw malformed(WHAT, "it is not a list of images");
  const images: FoundImage[] = [];
  for (const one of value) images.push(await findImage(contents, spool, readImage(one)));
  return images;
}
