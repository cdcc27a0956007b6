/**
 * Directories that one process at a time fills, and that appear whole under their real name or not at all.
 *
 * @module
 */

import { Fd } from "../../ffi/fs/fd.ts";
import { AT_FDCWD, close, lock, statusAt } from "../../ffi/fs/fs.ts";
import { sleep } from "../host/poll.ts";
import { failedWith, openDirectory, removeTree } from "../tar/tree.ts";

const POLL_MS = 20;

/** Suffix of a directory that is being filled; its name begins with a dot. */
export const TEMPORARY = ".tmp";

/** Locks the directory at `path`, made if need be. Returns its descriptor, or nothing if `until` came true meanwhile. */
export async function lockFolder(path: string, until: () => boolean): Promise<number | undefined> {
  while (!until()) {
    await Deno.mkdir(path, { recursive: true, mode: 0o700 });
    const fd = openLocked(path);
    if (fd !== undefined) return fd;
    await sleep(POLL_MS);
  }
}

/** Opens and locks a directory at once; nothing if another holds it, or it was moved or removed meanwhile. */
function openLocked(path: string): number | undefined {
  let fd = -1;
  try {
    fd = openDirectory(AT_FDCWD, path);
    if (lock(fd, "exclusive", false) && statusAt(fd).ino === statusAt(AT_FDCWD, path).ino) return fd;
  } catch (error) {
    if (!failedWith(error, "ENOENT")) throw error;
  }
  if (fd >= 0) close(fd);
}

/** Removes the directories in `store` that killed processes left half filled, except `keep`. */
export function sweep(store: string, keep?: string): void {
  for (const { name } of Deno.readDirSync(store)) {
    if (name === keep || !name.startsWith(".") || !name.endsWith(TEMPORARY)) continue;
    const fd = openLocked(`${store}/${name}`);
    if (fd === undefined) continue;
    using _locked = new Fd(fd);
    removeTree(AT_FDCWD, `${store}/${name}`);
  }
}
