/**
 * Walking and removing directory trees that another process filled: one component at a time, never through a symbolic link.
 *
 * @module
 */

import { chmodAt, close, openAt, readNames, S_IF, type Status, SystemError, unlinkAt } from "../../ffi/fs/fs.ts";
import { flags } from "../../ffi/program/flags.ts";

const DIRECTORY = flags("O", "RDONLY", "DIRECTORY", "NOFOLLOW");

/** Reports whether `error` is a failed system call with one of these codes, such as `ENOENT`. */
export function failedWith(error: unknown, ...codes: string[]): boolean {
  return error instanceof SystemError && codes.includes(error.code);
}

/** Reports whether a file is a device, FIFO or socket, which a copy must not replace. */
export function isSpecial({ mode }: Pick<Status, "mode">): boolean {
  const type = mode & S_IF.MT;
  return type !== S_IF.REG && type !== S_IF.DIR && type !== S_IF.LNK;
}

/** Opens the directory `name` of the directory `parent`. Throws {@linkcode SystemError} `ENOTDIR` if it is a symbolic link. */
export function openDirectory(parent: number, name: string): number {
  return openAt(parent, name, DIRECTORY);
}

/** Removes a file or an empty directory; `full` is a directory that is not empty. */
export function removeEntry(parent: number, name: string): "removed" | "full" {
  try {
    unlinkAt(parent, name);
    return "removed";
  } catch (error) {
    if (failedWith(error, "ENOENT")) return "removed";
    if (!failedWith(error, "EISDIR", "EPERM")) throw error;
  }
  try {
    unlinkAt(parent, name, true);
    return "removed";
  } catch (error) {
    if (failedWith(error, "ENOENT")) return "removed";
    if (!failedWith(error, "ENOTEMPTY", "EEXIST")) throw error;
    return "full";
  }
}

function fullEntries(directory: number): string[] {
  return readNames(directory).filter((name) => removeEntry(directory, name) === "full");
}

/**
 * Removes `name` from the directory `parent`, with all that is in it, however deep: without recursion and with two
 * descriptors. Nobody else may move directories in it meanwhile. Throws {@linkcode SystemError}.
 */
export function removeTree(parent: number, name: string): void {
  if (removeEntry(parent, name) === "removed") return;
  const enter = (directory: number, child: string): number => {
    if (Deno.uid() !== 0) chmodAt(directory, child, 0o700);
    return openDirectory(directory, child);
  };
  const levels: { name: string; rest: string[] }[] = [];
  let directory = enter(parent, name);
  let rest = fullEntries(directory);
  let current = name;
  for (;;) {
    const child = rest.pop();
    if (child !== undefined) {
      const below = enter(directory, child);
      close(directory);
      levels.push({ name: current, rest });
      [directory, current, rest] = [below, child, fullEntries(below)];
      continue;
    }
    const up = levels.pop();
    if (!up) break;
    const above = openDirectory(directory, "..");
    close(directory);
    unlinkAt(above, current, true);
    [directory, current, rest] = [above, up.name, up.rest];
  }
  close(directory);
  unlinkAt(parent, name, true);
}
