/**
 * File system calls relative to a descriptor, for paths that must not be resolved from the host's root.
 * Every function is synchronous and throws {@linkcode SystemError} on failure.
 *
 * @module
 */

import { describeErrno, errnoName } from "../errno.ts";
import { type Flags, flags } from "../program/flags.ts";
import { cPath, decodeName, encodeName } from "./names.ts";
import { shim } from "../native.ts";
import type { SyscallName } from "../program/syscalls.ts";

/** A system call failed. */
export class SystemError extends Error {
  override name = "SystemError";
  /** The name of the error, such as `ENOENT`. */
  readonly code: string;

  /** Makes the error of `call` on `subject`, with its positive error number. */
  constructor(readonly call: string, readonly subject: string, readonly errno: number) {
    super(`${call} ${subject}: ${describeErrno(errno)}`);
    this.code = errnoName(errno);
  }
}

/** What a path or descriptor is, from `statx(2)`. */
export interface Status {
  /** The type and permission bits, as in `st_mode`. */
  mode: number;
  /** The owner's user id. */
  uid: number;
  /** The owner's group id. */
  gid: number;
  /** The size in bytes. */
  size: number;
  /** How many blocks of 512 bytes it takes. */
  blocks: number;
  /** The inode's number. */
  ino: bigint;
  /** The number of hard links. */
  nlink: number;
  /** The device it is on, `major:minor`. */
  dev: string;
  /** The device it is, `major:minor`. */
  rdev: string;
  /** The time of the last modification, in nanoseconds since the epoch. */
  mtime: bigint;
  /** The time of the last change of the content or of anything in here, in nanoseconds since the epoch. */
  ctime: bigint;
  /** The bytes that it takes on disk: fewer than its size if it has holes. */
  stored: number;
  /** The number of the mount it was reached through. */
  mount: number;
}

/** The type bits of {@linkcode Status.mode} (`inode(7)`). */
export const S_IF = {
  MT: 0o170000,
  SOCK: 0o140000,
  LNK: 0o120000,
  REG: 0o100000,
  BLK: 0o060000,
  DIR: 0o040000,
  CHR: 0o020000,
  IFO: 0o010000,
} as const;

/** As a directory descriptor: the process's working directory. */
export const AT_FDCWD = -100;

/** An empty path is the descriptor itself. */
export const AT_EMPTY_PATH = 0x1000;

const AT_SYMLINK_NOFOLLOW = 0x100, AT_REMOVEDIR = 0x200;
const MOST_UNITS = 1300, PLACE_FOLDER = flags("O", "PATH", "DIRECTORY", "NOFOLLOW");
const FICLONE = 0x40049409, MOST_AT_ONCE = 1 << 30;
const STATX_BASIC = 0x7ff, STATX_MNT_ID = 0x1000;
const RENAME_EXCHANGE = 2;
const EINTR = 4, EAGAIN = 11, ENOTDIR = 20, SEEK_SET = 0, SEEK_CUR = 1, SEEK_END = 2;
const ENOTSOCK = 88, MSG_DONTWAIT = 0x40, MSG_NOSIGNAL = 0x4000;
const LOCK_EX = 2, LOCK_SH = 1, LOCK_NB = 4, LOCK_UN = 8;
const ERANGE = 34, ENODATA = 61, EOPNOTSUPP = 95;
const PATH_MAX = 4096, XATTR_MAX = 65536;
const CLOEXEC = flags("O", "CLOEXEC").value;
const nothing = new Uint8Array([0]);
// Used again by each call: most files have no attributes.
const listed = new Uint8Array(1024), status = new Uint8Array(256), statusView = new DataView(status.buffer);
const NEWLINE = 10;
const lastByte = new Uint8Array(1), newline = new Uint8Array([NEWLINE]);

function check(result: number, call: SyscallName, subject: string | number): number {
  if (result < 0) throw new SystemError(call, typeof subject === "number" ? `descriptor ${subject}` : subject, -result);
  return result;
}

/** Opens `path` below `dirfd` (`openat(2)`); the descriptor is close-on-exec. */
export function openAt(dirfd: number, path: string, how: Flags, mode = 0): number {
  const bits = how.value + CLOEXEC;
  return check(shim.ib("openat", dirfd, cPath(path), bits, mode), "openat", path);
}

/**
 * Opens `path` with `root` as the root of everything it goes through, symbolic links included (`openat2(2)` with
 * `RESOLVE_IN_ROOT|RESOLVE_NO_MAGICLINKS`).
 */
export function openIn(root: number, path: string, how: Flags, mode = 0): number {
  return openResolved(root, path, how, flags("RESOLVE", "IN_ROOT", "NO_MAGICLINKS"), mode);
}

/**
 * Opens `path` below `root` just as it is written: `ELOOP` if a symbolic link is on the way, `EXDEV` if another mount or
 * a `..` that climbs out is (`openat2(2)` with `RESOLVE_BENEATH|RESOLVE_NO_SYMLINKS|RESOLVE_NO_XDEV`).
 */
export function openBelow(root: number, path: string, how: Flags): number {
  const beneath = flags("RESOLVE", "BENEATH", "NO_SYMLINKS", "NO_XDEV");
  let at = root, rest = path;
  try {
    // The kernel takes 4,095 bytes at once, and a character has three at most for each unit.
    while (rest.length > MOST_UNITS) {
      const slash = rest.lastIndexOf("/", MOST_UNITS);
      if (slash <= 0) break;
      const fd = openResolved(at, rest.slice(0, slash), PLACE_FOLDER, beneath);
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
  const openHow = new BigUint64Array([BigInt(how.value + CLOEXEC), BigInt(mode), BigInt(resolve.value)]);
  const name = cPath(path);
  // EAGAIN: a rename went on meanwhile, and the kernel could not be sure.
  for (let tries = 0;; tries++) {
    const fd = shim.ibb("openat2", root, name, openHow, openHow.byteLength, 0);
    if (fd !== -EAGAIN || tries === 100) return check(fd, "openat2", path);
  }
}

/** Closes a descriptor; a bad one is no error. */
export function close(fd: number): void {
  shim.i("close", fd);
}

/** Reads at most `buffer.length` bytes; 0 at the end of the file. */
export function read(fd: number, buffer: Uint8Array<ArrayBuffer>): number {
  for (;;) {
    const n = shim.ib("read", fd, buffer, buffer.length);
    if (n !== -EINTR) return check(n, "read", fd);
  }
}

/** Like {@linkcode read}, but -1 when a nonblocking descriptor has nothing yet. */
export function readNow(fd: number, buffer: Uint8Array<ArrayBuffer>): number {
  const n = shim.ib("read", fd, buffer, buffer.length);
  return n === -EAGAIN || n === -EINTR ? -1 : check(n, "read", fd);
}

/** Writes what can be written at once; -1 when a nonblocking descriptor takes nothing now. */
export function writeNow(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
  const n = shim.ib("write", fd, bytes, bytes.length);
  return n === -EAGAIN || n === -EINTR ? -1 : check(n, "write", fd);
}

/** Like {@linkcode writeNow}, but also when a blocking descriptor that is a socket takes nothing now. */
export function sendNow(fd: number, bytes: Uint8Array<ArrayBuffer>): number {
  const n = shim.ib("sendto", fd, bytes, bytes.length, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n === -ENOTSOCK) return writeNow(fd, bytes);
  return n === -EAGAIN || n === -EINTR ? -1 : check(n, "sendto", fd);
}

/** Writes all of `bytes` to a blocking descriptor. */
export function writeAll(fd: number, bytes: Uint8Array<ArrayBuffer>): void {
  for (let done = 0; done < bytes.length;) {
    const n = shim.ib("write", fd, bytes.subarray(done), bytes.length - done);
    if (n !== -EINTR) done += check(n, "write", fd);
  }
}

/** Moves the position of a file back. */
export function seekBack(fd: number, bytes: number): void {
  if (bytes > 0) check(shim.i("lseek", fd, -bytes, SEEK_CUR), "lseek", fd);
}

/** The size of a file, whose position is its end then. */
export function seekEnd(fd: number): number {
  return check(shim.i("lseek", fd, 0, SEEK_END), "lseek", fd);
}

/** Sets the position of a file to its beginning. */
export function seekStart(fd: number): void {
  check(shim.i("lseek", fd, 0, SEEK_SET), "lseek", fd);
}

/** Makes `bytes` all that a file holds, in place: those who read it meanwhile see the old text or the new. */
export function rewrite(fd: number, bytes: Uint8Array<ArrayBuffer>): void {
  seekStart(fd);
  writeAll(fd, bytes);
  check(shim.i("ftruncate", fd, bytes.length), "ftruncate", fd);
}

/** Makes the empty file `to` share all blocks of `from` until one is written to; false where the file system cannot. */
export function shareBlocks(from: number, to: number): boolean {
  return shim.i("ioctl", to, FICLONE, from) === 0;
}

/** Copies bytes between files of one file system, from and to where their offsets are (`copy_file_range(2)`). */
export function copyBytes(from: number, to: number, length: number): void {
  for (let left = length; left > 0;) {
    const n = check(shim.copyRange(from, to, Math.min(left, MOST_AT_ONCE)), "copy_file_range", from);
    if (n === 0) return;
    left -= n;
  }
}

/** Makes an open file `size` bytes long; what is new of it is a hole. */
export function setSize(fd: number, size: number): void {
  Deno.truncateSync(`/proc/self/fd/${fd}`, size);
}

/** Adds lines at the end of a file, whose last line may lack its end. */
export function appendLines(fd: number, lines: Uint8Array<ArrayBuffer>): void {
  if (shim.i("lseek", fd, -1, SEEK_END) >= 0 && read(fd, lastByte) === 1 && lastByte[0] !== NEWLINE) {
    writeAll(fd, newline);
  }
  writeAll(fd, lines);
}

/** Adds lines at the end of many files; those that are not there are left out, and symbolic links. */
export function appendToFiles(paths: readonly string[], lines: Uint8Array<ArrayBuffer>): void {
  if (paths.length > 0) shim.appendToEach(encodeName(paths.map((path) => path + "\0").join("")), lines);
}

/** Makes a directory. */
export function mkdirAt(dirfd: number, path: string, mode: number): void {
  check(shim.ib("mkdirat", dirfd, cPath(path), mode), "mkdirat", path);
}

/** Makes a device, FIFO or socket; `mode` holds the type bits. */
export function mknodAt(dirfd: number, path: string, mode: number, major = 0, minor = 0): void {
  const device = ((major & 0xfff) << 8) | (minor & 0xff) | ((minor & ~0xff) << 12);
  check(shim.ib("mknodat", dirfd, cPath(path), mode, device), "mknodat", path);
}

/** Makes a symbolic link at `path` that says `target`. */
export function symlinkAt(target: string, dirfd: number, path: string): void {
  check(shim.bib("symlinkat", cPath(target), dirfd, cPath(path)), "symlinkat", path);
}

/** Makes `path` below `dirfd` another name of the file that `fd` (or `from` below it) is. */
export function linkAt(fd: number, from: string, dirfd: number, path: string): void {
  const how = from === "" ? AT_EMPTY_PATH : 0;
  check(shim.ibib("linkat", fd, cPath(from), dirfd, cPath(path), how), "linkat", path);
}

/** Removes a name; with `directory`, an empty directory. */
export function unlinkAt(dirfd: number, path: string, directory = false): void {
  const how = directory ? AT_REMOVEDIR : 0;
  check(shim.ib("unlinkat", dirfd, cPath(path), how), "unlinkat", path);
}

/**
 * Removes a folder with all that is in it, however deep, never through a symbolic link; a missing one is fine, and what is
 * no folder is removed itself. It is done in a thread of Deno's pool.
 */
export async function removeTree(path: string): Promise<void> {
  const result = await shim.wait("remove_tree", AT_FDCWD, cPath(path));
  if (result === -ENOTDIR) unlinkAt(AT_FDCWD, path);
  else check(result, "unlinkat", path);
}

/** Renames `from` to `to`, replacing what is there; with `exchange`, both must exist and change places. */
export function renameAt(fromDir: number, from: string, toDir: number, to: string, exchange = false): void {
  const how = exchange ? RENAME_EXCHANGE : 0;
  check(shim.ibib("renameat2", fromDir, cPath(from), toDir, cPath(to), how), "renameat2", to);
}

/** A detached copy of the mount at `path`, without those below it; it goes with its descriptor (`open_tree(2)`). */
export function openMount(path: string): number {
  return check(
    shim.ib("open_tree", AT_FDCWD, cPath(path), flags("OPEN_TREE", "CLONE", "CLOEXEC").value),
    "open_tree",
    path,
  );
}

/** Writes all that is not yet on disk of the file system that an open file lies on. */
export function syncFileSystem(fd: number): void {
  check(shim.i("syncfs", fd), "syncfs", fd);
}

/** Like {@linkcode syncFileSystem}, but this thread does not wait. */
export async function syncLater(fd: number): Promise<void> {
  check(await shim.wait("syncfs", fd, nothing), "syncfs", fd);
}

/** Sets owner and group of `path` itself (not of what a link points at); of `dirfd` if `path` is empty. */
export function chownAt(dirfd: number, path: string, uid: number, gid: number): void {
  const how = path === "" ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
  check(shim.ib("fchownat", dirfd, cPath(path), uid, gid, how), "fchownat", path || dirfd);
}

/** Sets the permission bits of an open file. */
export function chmod(fd: number, mode: number): void {
  check(shim.i("fchmod", fd, mode), "fchmod", fd);
}

/** Sets the permission bits of `path` itself; a symbolic link has none: `EOPNOTSUPP`. */
export function chmodAt(dirfd: number, path: string, mode: number): void {
  const fd = openAt(dirfd, path, flags("O", "PATH", "NOFOLLOW"));
  try {
    check(shim.ib("fchmodat", AT_FDCWD, cPath(`/proc/self/fd/${fd}`), mode), "fchmodat", path);
  } finally {
    close(fd);
  }
}

/** Sets access and modification time of `path` itself, in nanoseconds since the epoch; of `dirfd` if `path` is empty. */
export function utimesAt(dirfd: number, path: string, time: bigint): void {
  const second = 1_000_000_000n;
  let seconds = time / second, rest = time % second;
  if (rest < 0n) [seconds, rest] = [seconds - 1n, rest + second];
  const times = new BigInt64Array([seconds, rest, seconds, rest]);
  const how = path === "" ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW;
  check(shim.ibb("utimensat", dirfd, cPath(path), times, how), "utimensat", path || dirfd);
}

/** Sets an extended attribute of an open file. */
export function setXattr(fd: number, name: string, value: Uint8Array<ArrayBuffer>): void {
  const bytes = value.length ? value : nothing;
  check(shim.ibb("fsetxattr", fd, cPath(name), bytes, value.length), "fsetxattr", name);
}

/** Removes an extended attribute of an open file. */
export function removeXattr(fd: number, name: string): void {
  check(shim.ib("fremovexattr", fd, cPath(name)), "fremovexattr", name);
}

/** The names of an open file's extended attributes; none where the file system has no such thing. */
export function listXattrs(fd: number): string[] {
  for (let buffer = listed;;) {
    const n = shim.ib("flistxattr", fd, buffer, buffer.length);
    if (n === 0 || n === -EOPNOTSUPP) return [];
    if (n !== -ERANGE) return decodeName(buffer.slice(0, check(n, "flistxattr", fd))).split("\0").slice(0, -1);
    buffer = new Uint8Array(XATTR_MAX);
  }
}

/** An extended attribute of an open file; undefined if it has none of that name. */
export function getXattr(fd: number, name: string): Uint8Array<ArrayBuffer> | undefined {
  for (let buffer = new Uint8Array(256);;) {
    const n = shim.ibb("fgetxattr", fd, cPath(name), buffer, buffer.length);
    if (n === -ENODATA || n === -EOPNOTSUPP) return undefined;
    if (n !== -ERANGE) return buffer.slice(0, check(n, "fgetxattr", name));
    buffer = new Uint8Array(XATTR_MAX);
  }
}

/** What the symbolic link `path` below `dirfd` says. */
export function readLinkAt(dirfd: number, path: string): string {
  const buffer = new Uint8Array(PATH_MAX);
  return decodeName(
    buffer.slice(0, check(shim.ibb("readlinkat", dirfd, cPath(path), buffer, PATH_MAX), "readlinkat", path)),
  );
}

/**
 * The names in a directory that was just opened, without `.` and `..`, in the file system's order; those that `choose`
 * leaves out are not decoded, which takes long where there are many.
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

/** What `path` below `dirfd` is, without following a last symbolic link; `dirfd` itself if `path` is empty. */
export function statusAt(dirfd: number, path = ""): Status {
  const how = path === "" ? AT_EMPTY_PATH : AT_SYMLINK_NOFOLLOW, view = statusView;
  check(shim.ibiib("statx", dirfd, cPath(path), how, STATX_BASIC | STATX_MNT_ID, status), "statx", path || dirfd);
  const u32 = (offset: number): number => view.getUint32(offset, true);
  return {
    nlink: u32(16),
    uid: u32(20),
    gid: u32(24),
    mode: view.getUint16(28, true),
    ino: view.getBigUint64(32, true),
    size: Number(view.getBigUint64(40, true)),
    blocks: Number(view.getBigUint64(48, true)),
    stored: Number(view.getBigUint64(48, true)) * 512,
    ctime: view.getBigInt64(96, true) * 1_000_000_000n + BigInt(u32(104)),
    mtime: view.getBigInt64(112, true) * 1_000_000_000n + BigInt(u32(120)),
    mount: Number(view.getBigUint64(144, true)),
    rdev: `${u32(128)}:${u32(132)}`,
    dev: `${u32(136)}:${u32(140)}`,
  };
}

/** Takes an advisory lock on an open file; false if `wait` is false and another holds it (`flock(2)`). */
export function lock(fd: number, kind: "shared" | "exclusive" | "none", wait = true): boolean {
  const operation = { shared: LOCK_SH, exclusive: LOCK_EX, none: LOCK_UN }[kind] | (wait ? 0 : LOCK_NB);
  for (;;) {
    const result = shim.i("flock", fd, operation);
    if (result === -EAGAIN) return false;
    if (result !== -EINTR) return check(result, "flock", fd) === 0;
  }
}
