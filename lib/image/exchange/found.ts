/**
 * Images found in an archive or directory.
 *
 * @module
 */

import type { Descriptor } from "../../oci.ts";
import type { SpooledFile } from "./spool.ts";

/** A file that is a blob, verified. */
export interface FoundBlob {
  /** Its kind. */
  readonly descriptor: Descriptor;
  /** Its path. */
  readonly file: SpooledFile;
}

/** An image in an archive or directory, with all its blobs. */
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
