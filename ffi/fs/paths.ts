/**
 * Existence, ownership and content of paths, where a missing file is a value and no exception: the first exception of a
 * process costs as much time as a container, since V8 parses the sources again for it.
 *
 * @module
 */

import { ERRNO } from "../errno.ts";
import { AT, flags } from "../program/flags.ts";
import { AT_FDCWD, close, openAt, renameAt, S_IF, SystemError, writeAll } from "./fs.ts";
import { Fd } from "./fd.ts";
import { cString, shim } from "../native.ts";
import type { SyscallName } from "../program/syscalls.ts";

const { ENOENT, EACCES, EEXIST, ENOTDIR, EISDIR, EINVAL, EFBIG, ELOOP } = ERRNO;
const STATX_TYPE = 1, STATX_MODE = 2, STATX_UID = 8, STATX_GID = 16;
// struct statx
const STATX_BYTES = 256, STX_UID = 20, STX_GID = 24, STX_MODE = 28;
const PATH_MAX = 4096, FIRST_READ = 4096, MAX_SIZE = 16 << 20;
const O_CLOEXEC = flags("O", "CLOEXEC").value;
const OWN_FILE = flags("O", "RDONLY", "NOFOLLOW", "NONBLOCK", "CLOEXEC").value;
const NEW_FILE = flags("O", "WRONLY", "CREAT", "EXCL", "NOFOLLOW");

/** Returns true for success, false for an expected error. Throws {@linkcode SystemError} otherwise. */
function succeeded(result: number, expected: readonly number[], call: SyscallName, path: string): boolean {
  if (result >= 0) return true;
  if (expected.includes(-result)) return false;
  throw new SystemError(call, path, -result);
}

/** The owner, type and permissions of a file. */
export interface Ownership {
  /** Its type ({@linkcode S_IF}) and permission bits. */
  readonly mode: number;
  /** The user id of the owner. */
  readonly uid: number;
  /** The group id of the owner. */
  readonly gid: number;
}

/**
 * Returns the ownership of a path or descriptor; undefined if it does not exist or cannot be reached. Follows symbolic
 * links; with `nofollow`, not the last one: statx(2).
 */
export function ownershipOf(place: string | number, nofollow = false): Ownership | undefined {
  const buffer = new Uint8Array(STATX_BYTES), mask = STATX_TYPE | STATX_MODE | STATX_UID | STATX_GID;
  const follow = nofollow ? AT.SYMLINK_NOFOLLOW : 0;
  const [dirfd, path, how] = typeof place === "number" ? [place, "", AT.EMPTY_PATH] : [AT_FDCWD, place, follow];
  const result = shim.ibiib("statx", dirfd, cString(path), how, mask, buffer);
  if (!succeeded(result, [ENOENT, ENOTDIR, EACCES, ELOOP], "statx", path)) return undefined;
  const view = new DataView(buffer.buffer);
  return {
    mode: view.getUint16(STX_MODE, true),
    uid: view.getUint32(STX_UID, true),
    gid: view.getUint32(STX_GID, true),
  };
}

/** Returns the effective user id of this process: geteuid(2). */
export function effectiveUser(): number {
  return shim.i("geteuid", 0);
}

/** Returns the type and permission bits of `path`, following symbolic links; undefined if it does not exist. */
export function modeOf(path: string): number | undefined {
  return ownershipOf(path)?.mode;
}

/** Returns whether a path, symbolic links followed, or a descriptor is a directory. */
export function isFolder(place: string | number): boolean {
  return ((ownershipOf(place)?.mode ?? 0) & S_IF.MT) === S_IF.DIR;
}

/** Returns whether a descriptor is a socket. */
export function isSocket(fd: number): boolean {
  return ((ownershipOf(fd)?.mode ?? 0) & S_IF.MT) === S_IF.SOCK;
}

/** Returns the target of a symbolic link; undefined if `path` does not exist, empty if it is no link: readlinkat(2). */
export function readLink(path: string): string | undefined {
  const buffer = new Uint8Array(PATH_MAX);
  const length = shim.ibb("readlinkat", AT_FDCWD, cString(path), buffer, PATH_MAX);
  if (!succeeded(length, [ENOENT, ENOTDIR, EINVAL, ELOOP], "readlinkat", path)) {
    return length === -EINVAL ? "" : undefined;
  }
  return new TextDecoder().decode(buffer.subarray(0, length));
}

/** Reads and closes a descriptor; returns its text, or a negative error number. */
function readAndClose(fd: number): string | number {
  let bytes = new Uint8Array(FIRST_READ), length = 0, n = 1;
  while (n > 0) {
    n = shim.ib("read", fd, bytes.subarray(length), bytes.length - length);
    length += Math.max(n, 0);
    if (length > MAX_SIZE) n = -EFBIG;
    else if (length === bytes.length) bytes = new Uint8Array(bytes.buffer.transfer(2 * length));
  }
  close(fd);
  return n < 0 ? n : new TextDecoder().decode(bytes.subarray(0, length));
}

/** Reads a small file such as those of /proc; undefined if it does not exist or cannot be read. */
export function readSmallFile(path: string): string | undefined {
  const fd = shim.ib("openat", AT_FDCWD, cString(path), O_CLOEXEC);
  const text = fd < 0 ? fd : readAndClose(fd);
  return typeof text === "number" ? undefined : text;
}

/**
 * Reads a state file; undefined if it does not exist. Never follows a symbolic link, blocks on a FIFO, or reads more than
 * 16 MiB; throws {@linkcode SystemError} at those.
 */
export function readOwnFile(path: string): string | undefined {
  const fd = shim.ib("openat", AT_FDCWD, cString(path), OWN_FILE);
  if (!succeeded(fd, [ENOENT, ENOTDIR], "openat", path)) return undefined;
  const text = readAndClose(fd);
  if (typeof text === "number") throw new SystemError("read", path, -text);
  return text;
}

/** Creates and opens a file, in place of a leftover of a killed process, without following links. */
export function openNewFile(path: string, mode = 0o600): number {
  removeFile(path);
  return openAt(AT_FDCWD, path, NEW_FILE, mode);
}

/** Replaces the file at `path` atomically by one with this text: renameat2(2). */
export function replaceFile(path: string, text: string, mode = 0o600): void {
  const temporary = `${path.slice(0, path.lastIndexOf("/"))}/.${path.slice(path.lastIndexOf("/") + 1)}.${Deno.pid}`;
  using fd = new Fd(openNewFile(temporary, mode));
  try {
    writeAll(fd.number, new TextEncoder().encode(text));
    renameAt(AT_FDCWD, temporary, AT_FDCWD, path);
  } catch (error) {
    removeFile(temporary);
    throw error;
  }
}

/** Creates a symbolic link at `path` to `target`; false if `path` exists: symlinkat(2). */
export function makeLink(target: string, path: string): boolean {
  return succeeded(shim.bib("symlinkat", cString(target), AT_FDCWD, cString(path)), [EEXIST], "symlinkat", path);
}

/** Removes a file or link; false if it does not exist: unlinkat(2). */
export function removeFile(path: string): boolean {
  return succeeded(shim.ib("unlinkat", AT_FDCWD, cString(path), 0), [ENOENT, ENOTDIR], "unlinkat", path);
}

/** Removes a file, a link, or a directory recursively; false if it does not exist. */
export function removeAny(path: string): boolean {
  const result = shim.ib("unlinkat", AT_FDCWD, cString(path), 0);
  if (result !== -EISDIR) return succeeded(result, [ENOENT, ENOTDIR], "unlinkat", path);
  Deno.removeSync(path, { recursive: true });
  return true;
}
