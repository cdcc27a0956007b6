/**
 * Paths and records of unpacked layers in the store.
 *
 * @module
 */

import { SystemError } from "../../ffi/fs/fs.ts";
import { modeOf, readOwnFile } from "../../ffi/fs/paths.ts";
import { ImageError } from "../errors.ts";
import type { ImageDocuments } from "./store.ts";

/** `layer.json`, beside an unpacked layer. */
export interface LayerRecord {
  /** The digest of the layer's uncompressed tar archive. */
  readonly diffId: string;
  /** How many entries it has. */
  readonly entries: number;
  /** How many bytes its archive has, uncompressed. */
  readonly bytes: number;
  /** Directories that it has no entry for, yet something in them. Default: none. */
  readonly implied?: readonly string[];
}

/** Returns the directory of the unpacked layer with this diff ID. */
export function layerFolder(store: string, diffId: string): string {
  return `${store}/layers/${diffId.slice("sha256:".length, "sha256:".length + 20)}`;
}

/**
 * Returns the directory of an image's missing parent directories. See `missing_parents.ts`.
 */
export function impliedFolder(store: string, { manifest }: Pick<ImageDocuments, "manifest">): string {
  return `${store}/layers/i${manifest.config.digest.slice("sha256:".length, "sha256:".length + 20)}`;
}

function isRecord(value: unknown): value is LayerRecord {
  return typeof value === "object" && value !== null && "diffId" in value && typeof value.diffId === "string" &&
    "entries" in value && typeof value.entries === "number" && "bytes" in value && typeof value.bytes === "number" &&
    (!("implied" in value) || Array.isArray(value.implied) && value.implied.every((one) => typeof one === "string"));
}

function recordIn(folder: string): LayerRecord | undefined {
  try {
    const text = readOwnFile(`${folder}/layer.json`);
    const value: unknown = text === undefined ? undefined : JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch (error) {
    // A damaged one: the layer is unpacked again.
    if (error instanceof SystemError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/**
 * Returns the record of an unpacked layer; undefined if it is not unpacked.
 *
 * @throws {ImageError} `digest-mismatch` if another layer has its directory: somebody has made two that begin alike.
 */
export function readLayer(store: string, diffId: string): LayerRecord | undefined {
  const record = recordIn(layerFolder(store, diffId));
  if (record === undefined || record.diffId === diffId) return record;
  throw new ImageError(`the layer ${diffId} has the place of ${record.diffId} in the store`, {
    code: "digest-mismatch",
    facts: { diffId, known: record.diffId },
    hint: "one of the two was made to be taken for the other: do not use these images",
  });
}

/** Reports whether a layer is unpacked. Throws as {@linkcode readLayer}. */
export function isUnpacked(store: string, diffId: string): boolean {
  return readLayer(store, diffId) !== undefined;
}

/**
 * Returns the directories of an image, uppermost first, as overlay wants them. It takes none twice; of a layer that is there twice the
 * upper one hides all that the lower one does, and shows all that it shows.
 */
export function lowerFolders(store: string, documents: ImageDocuments): string[] {
  const diffIds = new Set(documents.config.rootfs.diff_ids.toReversed());
  const layers = [...diffIds].map((diffId) => `${layerFolder(store, diffId)}/diff`);
  const implied = `${impliedFolder(store, documents)}/diff`;
  return modeOf(implied) === undefined ? layers : [implied, ...layers];
}
