/**
 * File system calls relative to a directory descriptor: openat(2), openat2(2), statx(2), renameat(2) and their relatives.
 * All are synchronous unless they return a promise, and throw {@linkcode SystemError}.
 *
 * Each function of `shim` makes one system call; its name lists the kinds of the arguments: `i` is an integer, `b` a buffer.
 * So `shim.ibb("openat2", root, name, openHow, …)` passes a descriptor and two buffers; integers of the end may be left out.
 *
 * @module
 */

import { describeErrno, ERRNO, errnoName } from "../errno.ts";
import { AT, type Flags, flags, S_IF, UAPI } from "../program/flags.ts";
import { cPath, decodeName, encodeName } from "./names.ts";
import { shim } from "../native.ts";
import type { SyscallName } from "../program/syscalls.ts";

/** A failed system call. */
export class SystemError extends Error {
  override name = "SystemError";
  /** The name of the error, such as `ENOENT`. */
  readonly code: string;

  /** Creates the error of `call` on `subject`, with its positive error number. */
  constructor(readonly call: string, readonly subject: string, readonly errno: number) {
    super(`${call} ${subject}: ${describeErrno(errno)}`);
    this.code = errnoName(errno);
  }
}

/** The metadata of a file (statx(2)). */
export interface Status {
  /** Its type ({@linkcode S_IF}) and permission bits. */
  mode: number;
  /** The user id of the owner. */
  uid: number;
  /** The group id of the owner. */
  gid: number;
  /** The size in bytes. */
  size: number;
  /** The allocated blocks of 512 bytes. */
  blocks: number;
  /** The inode number. */
  ino: bigint;
  /** The number of hard links. */
  nlink: number;
  /** The device that holds it, `major:minor`. */
  dev: string;
  /** The device number of a device node, `major:minor`. */
  rdev: string;
  /** The time of the last change of its content, in nanoseconds since the epoch. */
  mtime: bigint;
  /** The time of the last change of its content or metadata, in nanoseconds since the epoch. */
  ctime: bigint;
  /** The allocated bytes: fewer than its size if it has holes. */
  stored: number;
  /** The id of the mount that it was reached through. */
  mount: number;
}

export { S_IF };

/** The working directory, in the place of a directory descriptor. */
export const AT_FDCWD: number = AT.FDCWD;

// A character takes at most three bytes a UTF-16 unit, and openat2 accepts paths of 4,095 bytes.
const MAX_PATH_UNITS = 1300, DIRECTORY_ON_WAY = flags("O", "PATH", "DIRECTORY", "NOFOLLOW");
const MAX_OPENAT2_TRIES = 100, STATX_BASIC_STATS = 0x7ff, STATX_MNT_ID = 0x1000, BLOCK = 512;
const RENAME_EXCHANGE = 2, O_CLOEXEC = flags("O", "CLOEXEC").value;
const { EINTR, EAGAIN, ENOTDIR, ENOTSOCK } = ERRNO, { MSG_DONTWAIT, MSG_NOSIGNAL } = UAPI;
const SEEK_SET = 0, SEEK_CUR = 1, SEEK_END = 2, LOCK = { shared: 1, exclusive: 2, none: 8 } as const, LOCK_NB = 4;
const PATH_MAX = 4096, NEWLINE = 10, SECOND = 1_000_000_000n;
// Reused by every call.
const status = new Uint8Array(256), statusView = new DataView(status.buffer), lastByte = new Uint8Array(1);

/** Returns `result` if it is no error number. Throws {@linkcode SystemError} otherwise. */
export function check(result: number, call: SyscallName, subject: string | number): number {
  if (result < 0) throw new SystemError(call, typeof subject === "number" ? `descriptor ${subject}` : subject, -result);
  return result;
}

/** Returns the `AT_` flag for `path` itself: the descriptor if it is empty, never the target of a symbolic link. */
function notFollowing(path: string): number {
  return path === "" ? AT.EMPTY_PATH : AT.SYMLINK_NOFOLLOW;
}

/** Returns the number of a device: makedev(3). */
export function makedev(major: number, minor: number): number {
  return ((major & 0xfff) << 8) | (minor & 0xff) | ((minor & ~0xff) << 12);
}

/** Opens `path` relative to `dirfd`, close-on-exec: openat(2). */
export function openAt(dirfd: number, path: string, how: Flags, mode = 0): number {
  return check(shim.ib("openat", dirfd, cPath(path), how.value + O_CLOEXEC, mode), "openat", path);
}

/** Opens `path` as in a chroot at `root`: openat2(2) with `RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS`. */
export function openIn(root: number, path: string, how: Flags, mode = 0): number {
  return openResolved(root, path, how, flags("RESOLVE", "IN_ROOT", "NO_MAGICLINKS"), mode);
}

/**
 * Opens `path` below `root`: openat2(2) with `RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS|RESOLVE_NO_XDEV`. Fails with `ELOOP` at
 * a symbolic link, and with `EXDEV` at another mount or a `..` that leaves `root`.
 */
export function openBelow(root: number, path: string, how: Flags): number {
  const beneath = flags("RESOLVE", "BENEATH", "NO_SYMLINKS", "NO_XDEV");
  let at = root, rest = path;
  try {
    while (rest.length > MAX_PATH_UNITS) {
      const slash = rest.lastIndexOf("/", MAX_PATH_UNITS);
      if (slash <= 0) break;
      const fd = openResolved(at, rest.slice(0, slash), DIRECTORY_ON_WAY, beneath);
      if (at !== root) close(at);
      at = fd;
      rest = rest.slice(slash).replace(/^\/+/, "") || ".";
    }
    return openResolved(at, rest, how, beneath);
  } finally {
    if (at !== root) close(at);
  }
}

function openResolved(root: number, path: string, how: Flags, resolve: Flags, mode = 0): number {
  const openHow = new BigUint64Array([BigInt(how.value + O_CLOEXEC), BigInt(mode), BigInt(resolve.value)]);
  const name = cPath(path);
  // EAGAIN: a concurrent rename or mount kept the kernel from proving that the path stays inside.
  for (let tries = 0;; tries++) {
    const fd = shim.ibb("openat2", root, name, openHow, openHow.byteLength, 0);
    if (fd !== -EAGAIN || tries === MAX_OPENAT2_TRIES) return check(fd, "openat2", path);
  }
}

/** Closes a descriptor; a bad one is ignored: close(2). */
export function close(fd: number): void {
  shim.i("close", fd);
}

/** Reads at most `buffer.length` bytes, and returns their number; 0 at the end of the file: read(2). */
export function read(fd: number, buffer: Uint8Array<ArrayBuffer>): number {
  for (;;) {
    const n = shim.ib("read", fd, buffer, buffer.length);
    if (n !== -EINTR) return check(n, "read", fd);
  }
}

/** Reads as {@linkcode read} does, but returns -1 when a nonblocking descriptor has no data yet. */
export function readNow(fd: number, buffer: Uint8Array<ArrayBuffer>): number {
  const n = shim.ib("read", fd, buffer, buffer.length);
  return n === -EAGAIN || n === -EINTR ? -1 : check(n, "read", fd);
}

/** Writes as much as fits, and returns its length; -1 when a nonblocking descriptor is full: write(2). */
export function writeNow(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
  const n = shim.ib("write", fd, bytes, bytes.length);
  return n === -EAGAIN || n === -EINTR ? -1 : check(n, "write", fd);
}

/** Writes as {@linkcode writeNow} does, also to blocking sockets without waiting: sendto(2). */
export function sendNow(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
  const n = shim.ib("sendto", fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n === -ENOTSOCK) return writeNow(fd, bytes);
  return n === -EAGAIN || n === -EINTR ? -1 : check(n, "sendto", fd);
}

/** Writes all of `bytes` to a blocking descriptor: write(2). */
export function writeAll(fd: number, bytes: Uint8Array<ArrayBuffer>): void {
  for (let done = 0; done < bytes.length;) {
    const n = shim.ib("write", fd, bytes.subarray(done), bytes.length - done);
    if (n !== -EINTR) done += check(n, "write", fd);
  }
}

/** Moves the offset of a file back: lseek(2). */
export function seekBack(fd: number, bytes: number): void {
  if (bytes > 0) check(shim.i("lseek", fd, -bytes, SEEK_CUR), "lseek", fd);
}

/** Moves the offset of a file to its end, and returns its size: lseek(2). */
export function seekEnd(fd: number): number {
  return check(shim.i("lseek", fd, 0, SEEK_END), "lseek", fd);
}

/** Moves the offset of a file to its beginning: lseek(2). */
export function seekStart(fd: number): void {
  check(shim.i("lseek", fd, 0, SEEK_SET), "lseek", fd);
}

/** Overwrites a file in place and truncates it to `bytes`; concurrent readers see old or new content: ftruncate(2). */
export function rewrite(fd: number, bytes: Uint8Array<ArrayBuffer>): void {
  seekStart(fd);
  writeAll(fd, bytes);
  check(shim.i("ftruncate", fd, bytes.length), "ftruncate", fd);
}

/** Appends lines to a file, whose last line may lack its newline. */
export function appendLines(fd: number, lines: Uint8Array<ArrayBuffer>): void {
  if (shim.i("lseek", fd, -1, SEEK_END) >= 0 && read(fd, lastByte) === 1 && lastByte[0] !== NEWLINE) {
    writeAll(fd, Uint8Array.of(NEWLINE));
  }
  writeAll(fd, lines);
}

/** Appends lines to many files; skips missing ones and symbolic links. */
export function appendToFiles(paths: readonly string[], lines: Uint8Array<ArrayBuffer>): void {
  if (paths.length > 0) shim.appendToEach(encodeName(paths.map((path) => path + "\0").join("")), lines);
}

/** Creates a directory: mkdirat(2). */
export function mkdirAt(dirfd: number, path: string, mode: number): void {
  check(shim.ib("mkdirat", dirfd, cPath(path), mode), "mkdirat", path);
}

/** Creates a device, FIFO or socket; `mode` includes the type bits: mknodat(2). */
export function mknodAt(dirfd: number, path: string, mode: number, major = 0, minor = 0): void {
  check(shim.ib("mknodat", dirfd, cPath(path), mode, makedev(major, minor)), "mknodat", path);
}

/** Creates a symbolic link at `path` to `target`: symlinkat(2). */
export function symlinkAt(target: string, dirfd: number, path: string): void {
  check(shim.bib("symlinkat", cPath(target), dirfd, cPath(path)), "symlinkat", path);
}

/** Creates `path` as a hard link to `from` below `fd`, or to `fd` itself if `from` is empty: linkat(2). */
export function linkAt(fd: number, from: string, dirfd: number, path: string): void {
  const how = from === "" ? AT.EMPTY_PATH : 0;
  check(shim.ibib("linkat", fd, cPath(from), dirfd, cPath(path), how), "linkat", path);
}

/** Removes a name; with `directory`, an empty directory: unlinkat(2). */
export function unlinkAt(dirfd: number, path: string, directory = false): void {
  const how = directory ? AT.REMOVEDIR : 0;
  check(shim.ib("unlinkat", dirfd, cPath(path), how), "unlinkat", path);
}

/**
 * Removes a directory recursively, of any depth and without following symbolic links, or a file; a missing one is ignored.
 * Runs in a thread of Deno's pool.
 */
export async function removeTree(path: string): Promise<void> {
  const result = await shim.wait("remove_tree", AT_FDCWD, cPath(path));
  if (result === -ENOTDIR) unlinkAt(AT_FDCWD, path);
  else check(result, "unlinkat", path);
}

/** Renames `from` to `to`, replacing it; with `exchange`, swaps the two: renameat2(2). */
export function renameAt(fromDir: number, from: string, toDir: number, to: string, exchange = false): void {
  const how = exchange ? RENAME_EXCHANGE : 0;
  check(shim.ibib("renameat2", fromDir, cPath(from), toDir, cPath(to), how), "renameat2", to);
}

/** Clones the mount at `path` without submounts, detached; it lives as long as its descriptor: open_tree(2). */
export function openMount(path: string): number {
  return check(
    shim.ib("open_tree", AT_FDCWD, cPath(path), flags("OPEN_TREE", "CLONE", "CLOEXEC").value),
    "open_tree",
    path,
  );
}

/** Sets owner and group of `path`, not following a last symbolic link; of `dirfd` if `path` is empty: fchownat(2). */
export function chownAt(dirfd: number, path: string, uid: number, gid: number): void {
  check(shim.ib("fchownat", dirfd, cPath(path), uid, gid, notFollowing(path)), "fchownat", path || dirfd);
}

/** Sets the permission bits of an open file: fchmod(2). */
export function chmod(fd: number, mode: number): void {
  check(shim.i("fchmod", fd, mode), "fchmod", fd);
}

/** Sets the permission bits of `path`; fails with `EOPNOTSUPP` at a symbolic link: fchmodat(2). */
export function chmodAt(dirfd: number, path: string, mode: number): void {
  const fd = openAt(dirfd, path, flags("O", "PATH", "NOFOLLOW"));
  const result = shim.ib("fchmodat", AT_FDCWD, cPath(`/proc/self/fd/${fd}`), mode);
  close(fd);
  check(result, "fchmodat", path);
}

/**
 * Sets access and modification time of `path`, not following a last symbolic link, in nanoseconds since the epoch; of
 * `dirfd` if `path` is empty: utimensat(2).
 */
export function utimesAt(dirfd: number, path: string, time: bigint): void {
  let seconds = time / SECOND, rest = time % SECOND;
  if (rest < 0n) [seconds, rest] = [seconds - 1n, rest + SECOND];
  const times = new BigInt64Array([seconds, rest, seconds, rest]);
  check(shim.ibb("utimensat", dirfd, cPath(path), times, notFollowing(path)), "utimensat", path || dirfd);
}

/** Returns the target of the symbolic link `path`: readlinkat(2). */
export function readLinkAt(dirfd: number, path: string): string {
  const buffer = new Uint8Array(PATH_MAX);
  const length = check(shim.ibb("readlinkat", dirfd, cPath(path), buffer, PATH_MAX), "readlinkat", path);
  return decodeName(buffer.subarray(0, length));
}

/**
 * Returns the names in a newly opened directory, without `.` and `..`, in the order of the file system: getdents64(2).
 * `choose` filters them before they are decoded, which is slow where there are many.
 */
export function readNames(
  fd: number,
  choose?: (entries: readonly Uint8Array<ArrayBuffer>[]) => readonly Uint8Array<ArrayBuffer>[],
): string[] {
  const names: string[] = [], chosen: Uint8Array<ArrayBuffer>[] = [];
  let buffer = new Uint8Array(1 << 15);
  for (;;) {
    const view = new DataView(buffer.buffer),
      n = check(shim.ib("getdents64", fd, buffer, buffer.length), "getdents64", fd);
    if (n === 0) break;
    for (let at = 0; at < n; at += view.getUint16(at + 16, true)) {
      const entry = buffer.subarray(at + 19, buffer.indexOf(0, at + 19));
      if (choose) chosen.push(entry);
      else names.push(decodeName(entry));
    }
    if (choose) buffer = new Uint8Array(1 << 15);
  }
  const all = choose ? choose(chosen).map(decodeName) : names;
  return all.filter((name) => name !== "." && name !== "..");
}

/** Returns the metadata of `path`, not following a last symbolic link; of `dirfd` if `path` is empty: statx(2). */
export function statusAt(dirfd: number, path = ""): Status {
  const mask = STATX_BASIC_STATS | STATX_MNT_ID, view = statusView;
  check(shim.ibiib("statx", dirfd, cPath(path), notFollowing(path), mask, status), "statx", path || dirfd);
  const u32 = (offset: number): number => view.getUint32(offset, true);
  return {
    nlink: u32(16),
    uid: u32(20),
    gid: u32(24),
    mode: view.getUint16(28, true),
    ino: view.getBigUint64(32, true),
    size: Number(view.getBigUint64(40, true)),
    blocks: Number(view.getBigUint64(48, true)),
    stored: Number(view.getBigUint64(48, true)) * BLOCK,
    ctime: view.getBigInt64(96, true) * SECOND + BigInt(u32(104)),
    mtime: view.getBigInt64(112, true) * SECOND + BigInt(u32(120)),
    mount: Number(view.getBigUint64(144, true)),
    rdev: `${u32(128)}:${u32(132)}`,
    dev: `${u32(136)}:${u32(140)}`,
  };
}

/** Takes or releases an advisory lock on an open file; false if another holds it and `wait` is false: flock(2). */
export function lock(fd: number, kind: keyof typeof LOCK, wait = true): boolean {
  const operation = LOCK[kind] | (wait ? 0 : LOCK_NB);
  for (;;) {
    const result = shim.i("flock", fd, operation);
    if (result === -EAGAIN) return false;
    if (result !== -EINTR) return check(result, "flock", fd) === 0;
  }
}
