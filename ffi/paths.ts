/**
 * What is at a path, and what is not, without exceptions: the first one that a program throws costs it as much as a
 * container, as V8 reads the sources again for it.
 *
 * @module
 */

import { AT_FDCWD, S_IF, SystemError } from "./fs.ts";
import { cString, shim } from "./native.ts";
import type { SyscallName } from "./syscalls.ts";

const ENOENT = 2, EACCES = 13, EEXIST = 17, ENOTDIR = 20, ELOOP = 40;
const STATX_TYPE_AND_MODE = 3, STATX_SIZE = 256, MODE = 28, PATH_MAX = 4096;

/** Whether the call succeeded; false if it failed in the way expected. */
function succeeded(result: number, expected: readonly number[], call: SyscallName, path: string): boolean {
  if (result >= 0) return true;
  if (expected.includes(-result)) return false;
  throw new SystemError(call, path, -result);
}

/** The mode of what is at `path`, symbolic links followed; undefined if there is nothing that we may see. */
export function modeOf(path: string): number | undefined {
  const buffer = new Uint8Array(STATX_SIZE);
  const result = shim.ibiib("statx", AT_FDCWD, cString(path), 0, STATX_TYPE_AND_MODE, buffer);
  if (!succeeded(result, [ENOENT, ENOTDIR, EACCES, ELOOP], "statx", path)) return undefined;
  return new DataView(buffer.buffer).getUint16(MODE, true);
}

/** Whether there is a folder at `path`, symbolic links followed. */
export function isFolder(path: string): boolean {
  return ((modeOf(path) ?? 0) & S_IF.MT) === S_IF.DIR;
}

/** What the symbolic link at `path` says; undefined if nothing is there. */
export function readLink(path: string): string | undefined {
  const buffer = new Uint8Array(PATH_MAX);
  const length = shim.ibb("readlinkat", AT_FDCWD, cString(path), buffer, PATH_MAX);
  if (!succeeded(length, [ENOENT, ENOTDIR], "readlinkat", path)) return undefined;
  return new TextDecoder().decode(buffer.subarray(0, length));
}

/** Makes a symbolic link at `path` that says `target`; false if something is there already. */
export function makeLink(target: string, path: string): boolean {
  return succeeded(shim.bib("symlinkat", cString(target), AT_FDCWD, cString(path)), [EEXIST], "symlinkat", path);
}

/** Removes a file or link; false if nothing is there. */
export function removeFile(path: string): boolean {
  return succeeded(shim.ib("unlinkat", AT_FDCWD, cString(path), 0), [ENOENT, ENOTDIR], "unlinkat", path);
}
