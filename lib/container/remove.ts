/**
 * Removing the files of a container, which may have been made to be hard to remove.
 *
 * @module
 */

import { AT_FDCWD } from "../../ffi/fs.ts";
import { lazy } from "../lazy.ts";

// Deno removes recursively on a small stack: tens of thousands of levels would end the whole process.
const SAFE_DEPTH = 500;

/** Whether no folder below `path` lies deeper than `levels`. */
async function isShallow(path: string, levels: number): Promise<boolean> {
  try {
    for await (const { name, isDirectory } of Deno.readDir(path)) {
      if (isDirectory && (levels === 0 || !await isShallow(`${path}/${name}`, levels - 1))) return false;
    }
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return true;
    // A path that is too long, or that only its owner may read.
    return false;
  }
}

/** Removes a folder with all that is in it; a missing one is fine. */
export async function removeFolder(path: string): Promise<void> {
  if (!await isShallow(path, SAFE_DEPTH)) {
    const { removeTree } = await lazy.tree();
    return removeTree(AT_FDCWD, path);
  }
  try {
    await Deno.remove(path, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
