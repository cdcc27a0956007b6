/**
 * Writing the documents of an image that is made here.
 *
 * @module
 */

import { ImageError } from "../../errors.ts";
import {
  checkLayers,
  type Descriptor,
  hostPlatform,
  type ImageSettings,
  MAX_DOCUMENT_BYTES,
  MEDIA,
  type Platform,
} from "../../oci.ts";
import { addDocument } from "../../store/store.ts";

/** A layer of a new image. */
export interface NewLayer {
  /** Its blob. */
  readonly descriptor: Descriptor;
  /** The digest of its uncompressed archive. */
  readonly diffId: string;
}

/** How an image that is made here comes about. */
export interface NewImage {
  /** The configuration that it begins with, as JSON; what is not changed is kept, known or not. Default: none. */
  readonly base?: Readonly<Record<string, unknown>>;
  /** All its layers, lowest first. */
  readonly layers: readonly NewLayer[];
  /** How many of them are new; each gets a line in the history, and so does a change without any. */
  readonly added: number;
  /** By which command it was made. */
  readonly createdBy: string;
  /** A remark for its history. */
  readonly message?: string;
  /** Author. */
  readonly author?: string;
  /** Container config, applied over that of `base`. */
  readonly changes?: ImageSettings;
  /** The platform. Default: that of `base`, else this one. */
  readonly platform?: Platform;
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function mergeEnv(old: unknown, changes: readonly string[] = []): unknown[] {
  const nameOf = (entry: unknown): string => String(entry).split("=", 1)[0] ?? "";
  const changed = new Map(changes.map((entry) => [nameOf(entry), entry]));
  const kept = list(old).map((entry) => changed.get(nameOf(entry)) ?? entry);
  const known = new Set(kept.map(nameOf));
  return [...kept, ...[...changed].filter(([name]) => !known.has(name)).map(([, entry]) => entry)];
}

/** Changes settings: sets are added to, all else is replaced; a new entry point makes the old command void. */
function applyChanges(old: Record<string, unknown>, changes: ImageSettings): Record<string, unknown> {
  const given = ([, value]: [string, unknown]): boolean => value !== undefined;
  const { Env, ExposedPorts, Volumes, Labels, ...rest } = changes;
  const added = Object.entries({ ExposedPorts, Volumes, Labels }).filter(given);
  const merged = added.map(([key, value]) => [key, { ...record(old[key]), ...value }]);
  return {
    ...old,
    ...(rest.Entrypoint === undefined ? {} : { Cmd: null }),
    ...Object.fromEntries(Object.entries(rest).filter(given)),
    ...(Env ? { Env: mergeEnv(old.Env, Env) } : {}),
    ...Object.fromEntries(merged),
  };
}

function historyOf(image: NewImage, created: string): Record<string, unknown>[] {
  const entry = { created, created_by: image.createdBy };
  const last = { ...entry, ...(image.message === undefined ? {} : { comment: image.message }) };
  if (image.added === 0) return [{ ...last, empty_layer: true }];
  return Array.from({ length: image.added }, (_, i) => i === image.added - 1 ? last : entry);
}

/** Returns a layer's descriptor as an OCI manifest has it; those of Docker's manifests have names of their own. */
function layerOf({ descriptor: { mediaType, digest, size } }: NewLayer): Descriptor {
  return { mediaType: mediaType === MEDIA.dockerLayer ? MEDIA.layerGzip : mediaType, digest, size };
}

/** Writes a configuration, and a manifest of it and of layers, which are in the store. */
export async function writeDocuments(
  store: string,
  config: Readonly<Record<string, unknown>>,
  layers: readonly NewLayer[],
): Promise<Descriptor> {
  checkLayers({ layers }, "the new image");
  const rootfs = { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) };
  const text = JSON.stringify({ ...config, rootfs });
  if (text.length > MAX_DOCUMENT_BYTES) {
    throw new ImageError(`the new image's configuration has more than ${MAX_DOCUMENT_BYTES >> 20} MiB`, {
      code: "image-unsupported",
      facts: { size: text.length, limit: MAX_DOCUMENT_BYTES },
      hint: "its history, labels and variables are too long",
    });
  }
  const manifest = {
    schemaVersion: 2,
    mediaType: MEDIA.manifest,
    config: await addDocument(store, text, MEDIA.config),
    layers: layers.map(layerOf),
  };
  return addDocument(store, JSON.stringify(manifest), MEDIA.manifest);
}

/** Writes the configuration and the manifest of a new image, whose layers are in the store. */
export async function writeImage(store: string, image: NewImage): Promise<Descriptor> {
  const created = new Date().toISOString();
  const { base = {}, layers, author } = image;
  const config = {
    ...hostPlatform(),
    ...base,
    ...image.platform,
    created,
    ...(author === undefined ? {} : { author }),
    config: applyChanges(record(base.config), image.changes ?? {}),
    history: [...list(base.history), ...historyOf(image, created)],
  };
  return await writeDocuments(store, config, layers);
}
