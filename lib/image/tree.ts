/**
 * Walking and removing directory trees that somebody else filled: one component at a time, never through a symbolic link.
 *
 * @module
 */

import { chmodAt, close, openAt, SystemError, unlinkAt } from "../../ffi/fs.ts";
import { flags } from "../../ffi/flags.ts";

const DIRECTORY = flags("O", "RDONLY", "DIRECTORY", "NOFOLLOW");

/** Whether `error` is a failed system call with one of these names, such as `ENOENT`. */
export function failedWith(error: unknown, ...codes: string[]): boolean {
  return error instanceof SystemError && codes.includes(error.code);
}

/** Opens the directory `name` of the directory `parent`. Throws {@linkcode SystemError} `ENOTDIR` if it is a symbolic link. */
export function openDirectory(parent: number, name: string): number {
  return openAt(parent, name, DIRECTORY);
}

/** Keeps the directories on the way to the last path open, so that its neighbours are near. */
export interface Walker {
  /** The descriptor of the directory at the first `depth` components of `path`; the walker closes it. */
  enter(path: readonly string[], depth: number): number;
  /** Closes all. */
  reset(): void;
}

/** Walks below `root`; `open` opens (or makes) one directory, given its parent's descriptor, its name and its depth. */
export function walker(root: number, open: (parent: number, name: string, depth: number) => number): Walker {
  const names: string[] = [], descriptors: number[] = [];
  const leave = (depth: number): void => {
    names.length = Math.min(names.length, depth);
    descriptors.splice(depth).forEach(close);
  };
  return {
    enter(path, depth) {
      let same = 0;
      while (same < names.length && same < depth && names[same] === path[same]) same++;
      leave(same);
      for (const name of path.slice(same, depth)) {
        descriptors.push(open(descriptors.at(-1) ?? root, name, names.length + 1));
        names.push(name);
      }
      return descriptors.at(-1) ?? root;
    },
    reset: () => leave(0),
  };
}

/** Removes `name` from the directory `parent`, with all that is in it. Throws {@linkcode SystemError}. */
export function removeTree(parent: number, name: string): void {
  try {
    return unlinkAt(parent, name);
  } catch (error) {
    if (!failedWith(error, "EISDIR")) throw error;
  }
  if (Deno.uid() !== 0) chmodAt(parent, name, 0o700);
  const directory = openDirectory(parent, name);
  try {
    for (const child of Deno.readDirSync(`/proc/self/fd/${directory}`)) removeTree(directory, child.name);
  } finally {
    close(directory);
  }
  unlinkAt(parent, name, true);
}
