/**
 * `sauropod images`: the images that there are.
 *
 * @module
 */

import { findFolders, type FolderOptions } from "../lib/folders.ts";
import { listImages } from "../lib/image/resolve.ts";
import type { Context } from "./context.ts";
import { print, printJson, table } from "./text.ts";

/** Lists images. */
export function images(this: Context, flags: FolderOptions & { json?: boolean }): void {
  const found = listImages(findFolders(flags).images);
  if (flags.json) return printJson(found);
  print(table(["IMAGE", "KIND", "PATH"], found.map(({ name, kind, path }) => [name, kind, path])));
}
