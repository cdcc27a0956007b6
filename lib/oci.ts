/**
 * The documents of the OCI image specification 1.1, and of Docker's image format where it differs in names only.
 *
 * @module
 */

import { ImageError, InputError } from "./errors.ts";

/** Descriptor of a blob: media type, digest and size. */
export interface Descriptor {
  /** Its media type. */
  readonly mediaType: string;
  /** `sha256:` and 64 hexadecimal digits. */
  readonly digest: string;
  /** Its size in bytes. */
  readonly size: number;
  /** For which machines it is. */
  readonly platform?: Platform;
  /** Remarks. */
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A kind of machine. */
export interface Platform {
  /** Such as `amd64` or `arm64`. */
  readonly architecture: string;
  /** Such as `linux`. */
  readonly os: string;
  /** Such as `v8`. */
  readonly variant?: string;
}

/** An image: its configuration, and its layers, lowest first. */
export interface Manifest {
  /** The media type of this document. */
  readonly mediaType?: string;
  /** The configuration. */
  readonly config: Descriptor;
  /** The layers, lowest first. */
  readonly layers: readonly Descriptor[];
  /** Remarks. */
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Images of the same content for several platforms. */
export interface Index {
  /** The media type of this document. */
  readonly mediaType?: string;
  /** The images. */
  readonly manifests: readonly Descriptor[];
  /** Remarks. */
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Container config of an image. */
export interface ImageSettings {
  /** `NAME|UID[:GROUP|GID]`. */
  readonly User?: string;
  /** Ports as `80/tcp`. */
  readonly ExposedPorts?: Readonly<Record<string, unknown>>;
  /** Variables as `NAME=VALUE`. */
  readonly Env?: readonly string[];
  /** Entrypoint, executed in front of the command. */
  readonly Entrypoint?: readonly string[] | null;
  /** The command, unless another one is given. */
  readonly Cmd?: readonly string[] | null;
  /** Directories whose content is not the image's. */
  readonly Volumes?: Readonly<Record<string, unknown>>;
  /** The working directory. */
  readonly WorkingDir?: string;
  /** Remarks. */
  readonly Labels?: Readonly<Record<string, string>>;
  /** The signal that asks the command to end. */
  readonly StopSignal?: string;
}

/** One step of how an image was made. */
export interface HistoryEntry {
  /** When, as an RFC 3339 time. */
  readonly created?: string;
  /** By which command. */
  readonly created_by?: string;
  /** A remark. */
  readonly comment?: string;
  /** Whether it made no layer. */
  readonly empty_layer?: boolean;
}

/** The configuration of an image. */
export interface ImageConfig {
  /** When it was made, as an RFC 3339 time. */
  readonly created?: string;
  /** Author. */
  readonly author?: string;
  /** Such as `amd64`. */
  readonly architecture: string;
  /** Such as `linux`. */
  readonly os: string;
  /** Such as `v8`. */
  readonly variant?: string;
  /** Container config. */
  readonly config?: ImageSettings;
  /** The digests of the uncompressed layers, lowest first. */
  readonly rootfs: { readonly type: string; readonly diff_ids: readonly string[] };
  /** How it was made. */
  readonly history?: readonly HistoryEntry[];
}

/** Media types. */
export const MEDIA = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  layerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  layerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
} as const;

/** How large a document may be that says something of images: what skopeo and containerd take too. */
export const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;

/** How many layers an image may have: as many as the kernel puts on each other. */
export const MAX_LAYERS = 500;

const DIGEST = /^sha256:[0-9a-f]{64}$/;

function malformed(what: string, why: string): never {
  throw new ImageError(`${what} is malformed: ${why}`, { code: "image-malformed", facts: { what } });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Reports whether `text` is a sha256 digest. */
export function isDigest(text: string): boolean {
  return DIGEST.test(text);
}

/** Returns the digest of some bytes. */
export async function digestOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return `sha256:${new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex()}`;
}

function parseJson(text: string, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    malformed(what, "it is not JSON");
  }
  return isObject(value) ? value : malformed(what, "it is not a JSON object");
}

/** How deep the values of a document may lie in each other: JSON.stringify calls itself for each. */
const MAX_NESTING = 100;

/** Rejects a document of JSON, of which nothing is known yet, that is nested too deep to be written again. */
export function checkNesting(text: string, what: string): void {
  let depth = 0, inText = false;
  for (let i = 0; i < text.length; i++) {
    const character = text.charAt(i);
    if (inText && character === "\\") i++;
    else if (character === '"') inText = !inText;
    else if (!inText && (character === "[" || character === "{")) depth++;
    else if (!inText && (character === "]" || character === "}")) depth--;
    if (depth > MAX_NESTING) malformed(what, `its values are nested more than ${MAX_NESTING} deep`);
  }
}

function optionalTexts(value: unknown): Record<string, string> | undefined {
  if (!isObject(value)) return undefined;
  const texts = Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string");
  return Object.fromEntries(texts);
}

function readPlatform(value: unknown): Platform | undefined {
  if (!isObject(value) || typeof value.architecture !== "string" || typeof value.os !== "string") return undefined;
  return {
    architecture: value.architecture,
    os: value.os,
    ...(typeof value.variant === "string" ? { variant: value.variant } : {}),
  };
}

function readDescriptor(value: unknown, what: string): Descriptor {
  if (!isObject(value)) return malformed(what, "a descriptor is not an object");
  const { mediaType, digest, size } = value;
  if (typeof mediaType !== "string") malformed(what, "a descriptor has no media type");
  if (typeof digest !== "string" || !isDigest(digest)) {
    malformed(what, `${JSON.stringify(digest)?.slice(0, 100)} is not a sha256 digest`);
  }
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) malformed(what, "a descriptor has no size");
  const platform = readPlatform(value.platform), annotations = optionalTexts(value.annotations);
  return { mediaType, digest, size, ...(platform ? { platform } : {}), ...(annotations ? { annotations } : {}) };
}

function readDescriptors(value: unknown, what: string): Descriptor[] {
  return Array.isArray(value) ? value.map((one) => readDescriptor(one, what)) : malformed(what, "it has no list");
}

function mediaTypeOf({ mediaType }: Record<string, unknown>): { mediaType?: string } {
  return typeof mediaType === "string" ? { mediaType } : {};
}

/**
 * Reads a manifest or an index. `what` names it in errors.
 *
 * @throws {ImageError} `image-malformed`, and `image-unsupported` for what is neither, such as Docker's first format.
 */
export function parseManifest(text: string, what: string): Manifest | Index {
  const value = parseJson(text, what);
  const annotations = optionalTexts(value.annotations);
  const common = { ...mediaTypeOf(value), ...(annotations ? { annotations } : {}) };
  // A document that can be read as both is what different tools take for different images.
  if ("manifests" in value && ("layers" in value || "config" in value)) malformed(what, "it is both image and index");
  if ("manifests" in value) return { ...common, manifests: readDescriptors(value.manifests, what) };
  if ("config" in value && "layers" in value) {
    return { ...common, config: readDescriptor(value.config, what), layers: readDescriptors(value.layers, what) };
  }
  throw new ImageError(`${what} is neither an image nor a list of images`, {
    code: "image-unsupported",
    facts: { what },
    hint: "only OCI images and Docker's schema 2 can be used",
  });
}

/** Returns the error of an image with more layers than can be used. */
export function tooManyLayers(name: string, count: number): ImageError {
  return new ImageError(`${name} has ${count} layers, and at most ${MAX_LAYERS} can be used`, {
    code: "image-unsupported",
    facts: { name, layers: count, limit: MAX_LAYERS },
    hint: "make an image of fewer: export a container of it where it runs, and import that",
  });
}

/** Rejects an image with too many layers, before anything is done with them. `name` names it in errors. */
export function checkLayers({ layers }: { readonly layers: readonly unknown[] }, name: string): void {
  if (layers.length > MAX_LAYERS) throw tooManyLayers(name, layers.length);
}

/** Reports whether a document is an index. */
export function isIndex(document: Manifest | Index): document is Index {
  return "manifests" in document;
}

function texts(value: unknown): readonly string[] | undefined {
  return Array.isArray(value) && value.every((one) => typeof one === "string") ? value : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function readSettings(value: unknown): ImageSettings {
  if (!isObject(value)) return {};
  const settings = {
    User: text(value.User),
    Env: texts(value.Env),
    Entrypoint: texts(value.Entrypoint),
    Cmd: texts(value.Cmd),
    WorkingDir: text(value.WorkingDir),
    StopSignal: text(value.StopSignal),
    ExposedPorts: isObject(value.ExposedPorts) ? value.ExposedPorts : undefined,
    Volumes: isObject(value.Volumes) ? value.Volumes : undefined,
    Labels: optionalTexts(value.Labels),
  };
  return Object.fromEntries(Object.entries(settings).filter(([, one]) => one !== undefined));
}

function readHistory(value: unknown): HistoryEntry[] {
  return (Array.isArray(value) ? value.filter(isObject) : []).map((entry) => ({
    ...(typeof entry.created === "string" ? { created: entry.created } : {}),
    ...(typeof entry.created_by === "string" ? { created_by: entry.created_by } : {}),
    ...(typeof entry.comment === "string" ? { comment: entry.comment } : {}),
    ...(entry.empty_layer === true ? { empty_layer: true } : {}),
  }));
}

/**
 * Reads the configuration of an image.
 *
 * @throws {ImageError} `image-malformed`.
 */
export function parseConfig(json: string, what: string): ImageConfig {
  const value = parseJson(json, what);
  const { rootfs } = value;
  const diffIds = isObject(rootfs) ? texts(rootfs.diff_ids) : undefined;
  if (!diffIds || !diffIds.every(isDigest)) return malformed(what, "it names no layers");
  return {
    architecture: text(value.architecture) ?? "",
    os: text(value.os) ?? "",
    ...(text(value.variant) ? { variant: text(value.variant) } : {}),
    ...(text(value.created) ? { created: text(value.created) } : {}),
    ...(text(value.author) ? { author: text(value.author) } : {}),
    config: readSettings(value.config),
    rootfs: { type: "layers", diff_ids: diffIds },
    history: readHistory(value.history),
  };
}

/** Returns the platform that this one is, in the specification's words. */
export function hostPlatform(): Platform {
  return { os: "linux", architecture: Deno.build.arch === "aarch64" ? "arm64" : "amd64" };
}

/**
 * Reads `OS/ARCHITECTURE[/VARIANT]`.
 *
 * @throws {InputError} `bad-platform`.
 */
export function parsePlatform(text: string): Platform {
  const [os = "", architecture = "", variant, ...rest] = text.split("/");
  if (os !== "" && architecture !== "" && rest.length === 0) {
    return { os, architecture, ...(variant === undefined ? {} : { variant }) };
  }
  throw new InputError(`invalid platform ${JSON.stringify(text)}`, {
    code: "bad-platform",
    facts: { text },
    hint: "write OS/ARCHITECTURE[/VARIANT], such as linux/arm64 or linux/arm/v7",
  });
}

/** Writes what {@linkcode parsePlatform} reads. */
export function formatPlatform({ os, architecture, variant }: Platform): string {
  return [os, architecture, ...(variant === undefined ? [] : [variant])].join("/");
}
