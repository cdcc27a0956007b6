/**
 * What steps of builds have made, so that they need not be done again: `STORE/build/KEY.json` names the layer. An entry
 * keeps nothing alive but when another image is removed; once its layer is gone it is worth nothing, and pruned.
 *
 * @module
 */

import { AT_FDCWD, SystemError } from "../../ffi/fs/fs.ts";
import { readOwnFile } from "../../ffi/fs/paths.ts";
import type { NewLayer } from "../image/exchange/write_image.ts";
import { isDigest } from "../oci.ts";
import { hasBlob } from "../store/store.ts";
import { removeTree } from "../tar/tree.ts";

/** Result of a step. */
export interface Made {
  /** Its layer. Default: it changed nothing. */
  readonly layer?: NewLayer;
  /** When, as an RFC 3339 time. */
  readonly created: string;
}

function folderOf(store: string): string {
  return `${store}/build`;
}

function pathOf(store: string, key: string): string {
  return `${folderOf(store)}/${key.replace("sha256:", "")}.json`;
}

function isLayer(value: unknown): value is NewLayer {
  if (typeof value !== "object" || value === null || !("descriptor" in value) || !("diffId" in value)) return false;
  const { descriptor, diffId } = value;
  return typeof diffId === "string" && isDigest(diffId) && typeof descriptor === "object" && descriptor !== null &&
    "digest" in descriptor && typeof descriptor.digest === "string" && isDigest(descriptor.digest) &&
    "mediaType" in descriptor && typeof descriptor.mediaType === "string" && "size" in descriptor &&
    typeof descriptor.size === "number";
}

function read(path: string): Made | undefined {
  try {
    const value: unknown = JSON.parse(readOwnFile(path) ?? "null");
    if (typeof value !== "object" || value === null || !("created" in value)) return undefined;
    const { created } = value, layer = "layer" in value ? value.layer : undefined;
    if (typeof created !== "string" || layer !== undefined && !isLayer(layer)) return undefined;
    return { created, ...(layer ? { layer } : {}) };
  } catch (error) {
    if (error instanceof SystemError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function isThere(store: string, { layer }: Made): boolean {
  return layer === undefined || hasBlob(store, layer.descriptor);
}

/** Returns the cached result of the step `key`, if its layer is still stored. */
export function lookupCache(store: string, key: string): Made | undefined {
  const made = read(pathOf(store, key));
  return made && isThere(store, made) ? made : undefined;
}

/** Remembers what the step `key` has made. The last of several who do the same at once is remembered. */
export function storeCache(store: string, key: string, made: Made): void {
  const temporary = `${store}/partial/build-${crypto.randomUUID()}`;
  Deno.mkdirSync(folderOf(store), { recursive: true, mode: 0o755 });
  try {
    Deno.writeTextFileSync(temporary, JSON.stringify(made) + "\n");
    Deno.renameSync(temporary, pathOf(store, key));
  } finally {
    removeTree(AT_FDCWD, temporary);
  }
}

function entriesOf(store: string): string[] {
  try {
    return [...Deno.readDirSync(folderOf(store))].map(({ name }) => `${folderOf(store)}/${name}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

/** Returns the layers that steps have made. */
export function rememberedLayers(store: string): NewLayer[] {
  return entriesOf(store).map(read).flatMap((made) => made?.layer ?? []);
}

/** Forgets the steps whose layers are gone, and with `all` those without one; for the process that prunes the store. */
export function forgetStale(store: string, all: boolean): void {
  for (const path of entriesOf(store)) {
    const made = read(path);
    if (!made || !isThere(store, made) || all && !made.layer) removeTree(AT_FDCWD, path);
  }
}
