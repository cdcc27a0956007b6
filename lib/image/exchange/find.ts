/**
 * Finding images in an archive or folder: an OCI image layout, or what `docker save` writes.
 *
 * @module
 */

import { ImageError } from "../../errors.ts";
import type { Contents } from "./contents.ts";
import { dockerImages } from "./docker_archive.ts";
import type { FoundImage } from "./found.ts";
import { layoutImages } from "./layout.ts";
import type { Spool } from "./spool.ts";

/**
 * The images that are in there. Every size and digest of a blob is verified; diff ids are not.
 *
 * @throws {ImageError} for everything that is wrong with them.
 */
export async function findImages(contents: Contents, spool: Spool): Promise<FoundImage[]> {
  const images = await layoutImages(contents) ?? await dockerImages(contents, spool);
  if (images?.length) return images;
  throw new ImageError("there are no images in it", {
    code: "archive-unsupported",
    hint: "OCI layouts and archives of `docker save` hold images; sauropod images import makes one of a file system.",
  });
}
