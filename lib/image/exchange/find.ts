/**
 * Finding images in an archive or directory: an OCI image layout, or what `docker save` writes.
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
 * Returns the images that are in there. Every size and digest of a blob is verified; diff IDs are not.
 *
 * @throws {ImageError} for everything that is wrong with them.
 */
export async function findImages(contents: Contents, spool: Spool): Promise<FoundImage[]> {
  const images = await layoutImages(contents) ?? await dockerImages(contents, spool);
  if (images?.length) return images;
  throw new ImageError("it contains no images", {
    code: "archive-unsupported",
    hint:
      "use an OCI layout or an archive of `docker save`, or create an image of a file system by sauropod images import",
  });
}
