/**
 * Images found in an archive or folder.
 *
 * @module
 */

import type { Descriptor } from "../../oci.ts";
import type { SpooledFile } from "./spool.ts";

/** A file that is a blob, verified. */
export interface FoundBlob {
  /** What it is. */
  readonly descriptor: Descriptor;
  /** Where it is. */
  readonly file: SpooledFile;
}

/** An image in an archive or folder, with all its blobs. */
export interface FoundImage {
  /** Its full names. */
  readonly names: readonly string[];
  /** Its manifest. */
  readonly manifest: FoundBlob;
  /** Its configuration. */
  readonly config: FoundBlob;
  /** Its layers, lowest first. */
  readonly layers: readonly FoundBlob[];
  /** The digests of its uncompressed layers, lowest first; not verified. */
  readonly diffIds: readonly string[];
}
