/**
 * Files of images, in the layout of OCI and as `docker save` has them.
 *
 * @module
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { hostPlatform } from "../../lib/oci.ts";
import { findStored, listStored, readImage, storeFolder } from "../../lib/store/store.ts";
import { bytesOf, type Item, tar } from "./tar.ts";
import type { World } from "./world.ts";

/** Bytes. */
export type Bytes = Uint8Array<ArrayBuffer>;
/** Files by their names. */
export type Files = Map<string, Bytes>;

/** What the media types of OCI begin with. */
export const OCI = "application/vnd.oci.image.";
/** Annotations that hold names of images. */
export const NAME = "org.opencontainers.image.ref.name", FULL_NAME = "io.containerd.image.name";

/** The digest of bytes. */
export function sha256(bytes: Bytes): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Bytes of their own memory. */
export function own(bytes: Uint8Array): Bytes {
  return new Uint8Array(bytes);
}

/** Compresses with gzip, or zstd. */
export const gz = (bytes: Bytes): Bytes => own(gzipSync(bytes)),
  zst = (bytes: Bytes): Bytes => own(zstdCompressSync(bytes));
/** A value as JSON. */
export const json = (value: unknown): Bytes => bytesOf(JSON.stringify(value));

/** Three layers: the last hides a file of the first and changes another. */
export const PLAIN_LAYERS = [
  tar({ name: "etc/", type: "5", mode: 0o755 }, { name: "etc/old", body: "old" }, { name: "etc/kept", body: "1" }),
  tar({ name: "run", body: "#!/bin/sh\n", mode: 0o4755, uid: 7 }, { name: "link", type: "2", target: "run" }),
  tar({ name: "etc/.wh.old" }, { name: "etc/kept", body: "2" }),
];
/** Layers, compressed or not. */
export const LAYERS: readonly { plain: Bytes; blob: Bytes; type: string }[] = PLAIN_LAYERS.map((plain, i) => ({
  plain,
  blob: i === 0 ? plain : gz(plain),
  type: `${OCI}layer.v1.tar${i === 0 ? "" : "+gzip"}`,
}));
/** The same, compressed with zstd. */
export const ZSTD = LAYERS.map(({ plain }) => ({ plain, blob: zst(plain), type: `${OCI}layer.v1.tar+zstd` }));

/** A descriptor of bytes. */
export function descriptor(mediaType: string, bytes: Bytes, more: Record<string, unknown> = {}) {
  return { mediaType, digest: sha256(bytes), size: bytes.length, ...more };
}

/** A configuration of an image with those layers. */
export function configOf(layers = LAYERS, more: Record<string, unknown> = {}) {
  return {
    ...hostPlatform(),
    config: { Env: ["A=1", "B=2"], Cmd: ["/run"], Healthcheck: { Test: ["NONE"] } },
    rootfs: { type: "layers", diff_ids: layers.map(({ plain }) => sha256(plain)) },
    history: layers.map((_, i) => ({ created_by: `step ${i}` })),
    ...more,
  };
}

function manifestOf(config: Bytes, layers = LAYERS) {
  return {
    schemaVersion: 2,
    mediaType: `${OCI}manifest.v1+json`,
    config: descriptor(`${OCI}config.v1+json`, config),
    layers: layers.map(({ blob, type }) => descriptor(type, blob)),
  };
}

/** The name of a blob in a layout. */
export function blobName(bytes: Bytes): string {
  return `blobs/${sha256(bytes).replace(":", "/")}`;
}

interface LayoutOptions {
  /** Annotations of the image. Default: the name a/b:1. */
  annotations?: Record<string, string>;
  config?: unknown;
  layers?: typeof LAYERS;
  /** Changes the manifest. */
  manifest?: (made: ReturnType<typeof manifestOf>) => unknown;
}

/** The files of a layout with one image. */
export function layoutFiles(options: LayoutOptions = {}): Files {
  const { annotations = { [NAME]: "a/b:1" }, layers = LAYERS } = options;
  const config = json(options.config ?? configOf(layers));
  const made = manifestOf(config, layers), manifest = json(options.manifest?.(made) ?? made);
  const index = {
    schemaVersion: 2,
    manifests: [descriptor(`${OCI}manifest.v1+json`, manifest, { annotations })],
  };
  const blobs = [config, manifest, ...layers.map(({ blob }) => blob)];
  return new Map([
    ["oci-layout", json({ imageLayoutVersion: "1.0.0" })],
    ["index.json", json(index)],
    ...blobs.map((bytes): [string, Bytes] => [blobName(bytes), bytes]),
  ]);
}

/** The files of an archive of `docker save`. */
export function dockerFiles(
  change: (made: Record<string, unknown>) => unknown = (made) => made,
  config = configOf(),
): Files {
  const document = json(config), configName = `${sha256(document).slice(7)}.json`;
  const layers = LAYERS.map(({ plain }): [string, Bytes] => [`${sha256(plain).slice(7)}/layer.tar`, plain]);
  const image = { Config: configName, RepoTags: ["a/b:1"], Layers: layers.map(([name]) => name) };
  return new Map([[configName, document], ...layers, ["manifest.json", json([change(image)])]]);
}

/** An archive of files. */
export function archive(files: Files, ...more: (Item | Bytes)[]): Bytes {
  return tar(...[...files].map(([name, body]) => ({ name, body })), ...more);
}

/** Writes files to a folder; its path. */
export function writeFolder(files: Files, folder: string): string {
  for (const [name, bytes] of files) {
    Deno.mkdirSync(`${folder}/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
    Deno.writeFileSync(`${folder}/${name}`, bytes);
  }
  return folder;
}

/** Writes a file of a world; its path. */
export function write(world: World, name: string, bytes: Bytes): string {
  Deno.writeFileSync(`${world.home}/${name}`, bytes);
  return `${world.home}/${name}`;
}

/** The names in a store. */
export function names(images: string): string[] {
  return listStored(storeFolder(images)).map(({ name }) => name);
}

/** What was not finished in a store. */
export function partials(images: string): string[] {
  return [...Deno.readDirSync(`${storeFolder(images)}/partial`)].map(({ name }) => name);
}

/** The manifest and the configuration of an image of a store. */
export function documents(images: string, name: string) {
  const store = storeFolder(images), found = findStored(store, name);
  assert.ok(found, `${name} is there`);
  return readImage(store, found);
}

/** The command of an image of a store. */
export function cmdOf(images: string, name: string): unknown {
  return documents(images, name).config.config?.Cmd;
}
