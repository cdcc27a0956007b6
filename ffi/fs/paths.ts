/**
 * What is at a path, and what is not, without exceptions: the first one that a program throws costs it as much as a
 * container, as V8 reads the sources again for it.
 *
 * @module
 */

import { flags } from "../program/flags.ts";
import { AT_EMPTY_PATH, AT_FDCWD, close, openAt, renameAt, S_IF, SystemError, writeAll } from "./fs.ts";
import { cString, shim } from "../native.ts";
import type { SyscallName } from "../program/syscalls.ts";

const ENOENT = 2, EACCES = 13, EEXIST = 17, ENOTDIR = 20, EISDIR = 21, EINVAL = 22, EFBIG = 27, ELOOP = 40;
const STATX_TYPE = 1, STATX_MODE = 2, STATX_UID = 8, STATX_GID = 16, STATX_SIZE = 256, PATH_MAX = 4096;
const UID = 20, GID = 24, MODE = 28;
const O_CLOEXEC = 0x80000, AT_SYMLINK_NOFOLLOW = 0x100, SMALL = 4096, LARGEST = 16 << 20;
const OWN_FILE = flags("O", "RDONLY", "NOFOLLOW", "NONBLOCK", "CLOEXEC").value;
const NEW_FILE = flags("O", "WRONLY", "CREAT", "EXCL", "NOFOLLOW");

/** Whether the call succeeded; false if it failed in the way expected. */
function succeeded(result: number, expected: readonly number[], call: SyscallName, path: string): boolean {
  if (result >= 0) return true;
  if (expected.includes(-result)) return false;
  throw new SystemError(call, path, -result);
}

/** Whose something is, and what others may do with it. */
export interface Ownership {
  /** The type and permission bits, as in `st_mode`. */
  readonly mode: number;
  /** The owner's user id. */
  readonly uid: number;
  /** The owner's group id. */
  readonly gid: number;
}

/**
 * The ownership of what is at `path`, or behind a descriptor; undefined if we see nothing. Symbolic links are followed
 * unless `last` is true: then a link is told of itself.
 */
export function ownershipOf(place: string | number, last = false): Ownership | undefined {
  const buffer = new Uint8Array(STATX_SIZE), mask = STATX_TYPE | STATX_MODE | STATX_UID | STATX_GID;
  const follow = last ? AT_SYMLINK_NOFOLLOW : 0;
  const [folder, path, how] = typeof place === "number" ? [place, "", AT_EMPTY_PATH] : [AT_FDCWD, place, follow];
  const result = shim.ibiib("statx", folder, cString(path), how, mask, buffer);
  if (!succeeded(result, [ENOENT, ENOTDIR, EACCES, ELOOP], "statx", path)) return undefined;
  const view = new DataView(buffer.buffer);
  return { mode: view.getUint16(MODE, true), uid: view.getUint32(UID, true), gid: view.getUint32(GID, true) };
}

/** The user id as whom we open files. */
export function effectiveUser(): number {
  return shim.i("geteuid", 0);
}

/** The mode of what is at `path`, symbolic links followed; undefined if there is nothing that we may see. */
export function modeOf(path: string): number | undefined {
  return ownershipOf(path)?.mode;
}

/** Whether there is a folder at `path`, or behind a descriptor, symbolic links followed. */
export function isFolder(place: string | number): boolean {
  return ((ownershipOf(place)?.mode ?? 0) & S_IF.MT) === S_IF.DIR;
}

/** Whether a descriptor is a socket. */
export function isSocket(fd: number): boolean {
  return ((ownershipOf(fd)?.mode ?? 0) & S_IF.MT) === S_IF.SOCK;
}

/** What the symbolic link at `path` says; undefined if nothing is there, empty if something else is. */
export function readLink(path: string): string | undefined {
  const buffer = new Uint8Array(PATH_MAX);
  const length = shim.ibb("readlinkat", AT_FDCWD, cString(path), buffer, PATH_MAX);
  if (!succeeded(length, [ENOENT, ENOTDIR, EINVAL, ELOOP], "readlinkat", path)) {
    return length === -EINVAL ? "" : undefined;
  }
  return new TextDecoder().decode(buffer.subarray(0, length));
}

/** The text behind a descriptor, which is closed; a negative error number instead if it cannot be read. */
function readAndClose(fd: number): string | number {
  let bytes = new Uint8Array(SMALL), length = 0, n = 1;
  while (n > 0) {
    n = shim.ib("read", fd, bytes.subarray(length), bytes.length - length);
    length += Math.max(n, 0);
    if (length > LARGEST) n = -EFBIG;
    else if (length === bytes.length) bytes = new Uint8Array(bytes.buffer.transfer(2 * length));
  }
  close(fd);
  return n < 0 ? n : new TextDecoder().decode(bytes.subarray(0, length));
}

/** The text of a small file, such as those of /proc; undefined if it is not there or cannot be read (any more). */
export function readSmallFile(path: string): string | undefined {
  const fd = shim.ib("openat", AT_FDCWD, cString(path), O_CLOEXEC);
  const text = fd < 0 ? fd : readAndClose(fd);
  return typeof text === "number" ? undefined : text;
}

/**
 * The text of a state file; undefined if nothing is there. It never goes through a symbolic link, waits for the other end
 * of a FIFO, or reads for ever. Throws {@linkcode SystemError} if the path holds no such file.
 */
export function readOwnFile(path: string): string | undefined {
  const fd = shim.ib("openat", AT_FDCWD, cString(path), OWN_FILE);
  if (!succeeded(fd, [ENOENT, ENOTDIR], "openat", path)) return undefined;
  const text = readAndClose(fd);
  if (typeof text === "number") throw new SystemError("read", path, -text);
  return text;
}

/** Opens a new file, in the place of one that a killed process may have left there; nothing is followed. */
export function openNewFile(path: string, mode = 0o600): number {
  removeFile(path);
  return openAt(AT_FDCWD, path, NEW_FILE, mode);
}

/** Replaces the file at `path`, whatever it is but a directory, by one with this text: whole, or not at all. */
export function replaceFile(path: string, text: string, mode = 0o600): void {
  const temporary = `${path.slice(0, path.lastIndexOf("/"))}/.${path.slice(path.lastIndexOf("/") + 1)}.${Deno.pid}`;
  const fd = openNewFile(temporary, mode);
  try {
    writeAll(fd, new TextEncoder().encode(text));
    renameAt(AT_FDCWD, temporary, AT_FDCWD, path);
  } catch (error) {
    removeFile(temporary);
    throw error;
  } finally {
    close(fd);
  }
}

/** Makes a symbolic link at `path` that says `target`; false if something is there already. */
export function makeLink(target: string, path: string): boolean {
  return succeeded(shim.bib("symlinkat", cString(target), AT_FDCWD, cString(path)), [EEXIST], "symlinkat", path);
}

/** Removes a file or link; false if nothing is there. */
export function removeFile(path: string): boolean {
  return succeeded(shim.ib("unlinkat", AT_FDCWD, cString(path), 0), [ENOENT, ENOTDIR], "unlinkat", path);
}

/** Removes whatever is at `path`: a file, a link, or a folder with all that is in it; false if nothing is there. */
export function removeAny(path: string): boolean {
  const result = shim.ib("unlinkat", AT_FDCWD, cString(path), 0);
  if (result !== -EISDIR) return succeeded(result, [ENOENT, ENOTDIR], "unlinkat", path);
  Deno.removeSync(path, { recursive: true });
  return true;
}
