/**
 * Random samples: each command looks for abandoned containers and leases among a few, so that it costs the same however
 * many there are.
 *
 * @module
 */

import { flags } from "../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt, readNames } from "../../ffi/fs/fs.ts";
import { isFolder } from "../../ffi/fs/paths.ts";

/** How many entries of others a command looks at. */
export const SAMPLE = 8;

/** Returns `items` if there are at most `most`, else `most` consecutive ones from a random position on. */
export function some<T>(items: readonly T[], most: number): readonly T[] {
  if (items.length <= most) return items;
  const first = Math.floor(Math.random() * items.length);
  return [...items.slice(first, first + most), ...items.slice(0, Math.max(0, first + most - items.length))];
}

/** Returns the names in a directory, at most `most` at random; none if it does not exist. */
export function namesIn(folder: string, most = Infinity): string[] {
  if (!isFolder(folder)) return [];
  const fd = openAt(AT_FDCWD, folder, flags("O", "RDONLY", "DIRECTORY"));
  try {
    return readNames(fd, (entries) => some(entries, most));
  } finally {
    close(fd);
  }
}
