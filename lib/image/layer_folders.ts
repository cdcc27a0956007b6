/**
 * Where the layers of stored images are unpacked.
 *
 * @module
 */

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
}

/** Where a layer with this diff id is unpacked, or will be. */
export function layerFolder(store: string, diffId: string): string {
  return `${store}/layers/${diffId.slice("sha256:".length, "sha256:".length + 20)}`;
}

function diffIdOf(folder: string): string | undefined {
  try {
    const record: unknown = JSON.parse(Deno.readTextFileSync(`${folder}/layer.json`));
    return typeof record === "object" && record !== null && "diffId" in record ? String(record.diffId) : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/**
 * Whether a layer is unpacked.
 *
 * @throws {ImageError} `digest-mismatch` if another layer has its folder: somebody has made two that begin alike.
 */
export function isUnpacked(store: string, diffId: string): boolean {
  const known = diffIdOf(layerFolder(store, diffId));
  if (known === undefined || known === diffId) return known !== undefined;
  throw new ImageError(`the layer ${diffId} has the place of ${known} in the store`, {
    code: "digest-mismatch",
    facts: { diffId, known },
    hint: "one of the two was made to be taken for the other: do not use these images",
  });
}

/** The folders of an image's layers, uppermost first, as overlay wants them. */
export function lowerFolders(store: string, { config }: ImageDocuments): string[] {
  return config.rootfs.diff_ids.map((diffId) => `${layerFolder(store, diffId)}/diff`).reverse();
}
