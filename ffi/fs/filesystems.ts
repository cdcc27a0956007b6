/**
 * File systems of open files: type and free space (statfs(2)), writing back (syncfs(2)). All throw {@linkcode SystemError}.
 *
 * @module
 */

import { ERRNO } from "../errno.ts";
import { cString, shim } from "../native.ts";
import { flags } from "../program/flags.ts";
import { Fd } from "./fd.ts";
import { AT_FDCWD, check } from "./fs.ts";

const DIRECTORY = flags("O", "PATH", "DIRECTORY", "CLOEXEC").value;

// linux/magic.h; btrfs and XFS share blocks between files.
const TMPFS_MAGIC = 0x01021994,
  DEVPTS_SUPER_MAGIC = 0x1cd1,
  XFS_SUPER_MAGIC = 0x58465342,
  BTRFS_SUPER_MAGIC = 0x9123683e;
const CGROUP_SUPER_MAGIC = 0x27e0eb, CGROUP2_SUPER_MAGIC = 0x63677270;
/** The file systems whose content the kernel generates when it is read. */
const GENERATED: ReadonlySet<number> = new Set([
  CGROUP_SUPER_MAGIC,
  CGROUP2_SUPER_MAGIC,
  DEVPTS_SUPER_MAGIC,
  0x9fa0, // PROC_SUPER_MAGIC
  0x62656572, // SYSFS_MAGIC
  0x19800202, // MQUEUE_MAGIC
  0x64626720, // DEBUGFS_MAGIC
  0x74726163, // TRACEFS_MAGIC
  0x73636673, // SECURITYFS_MAGIC
  0xcafe4a11, // BPF_FS_MAGIC
  0x6165676c, // PSTOREFS_MAGIC
  0xde5e81e4, // EFIVARFS_MAGIC
  0x62656570, // CONFIGFS_MAGIC
  0x65735543, // FUSE_CTL_SUPER_MAGIC
  0x42494e4d, // BINFMTFS_MAGIC
  0x6e736673, // NSFS_MAGIC
]);

/** Returns `struct statfs` of the file system of an open file. */
function statfs(fd: number): DataView {
  const buffer = new Uint8Array(120);
  check(shim.ib("fstatfs", fd, buffer), "fstatfs", fd);
  return new DataView(buffer.buffer);
}

function magicOf(fd: number): number {
  return statfs(fd).getUint32(0, true);
}

/** Returns whether an open file is on a file system that supports reflinks. */
export function mayShareBlocks(fd: number): boolean {
  const magic = magicOf(fd);
  return magic === XFS_SUPER_MAGIC || magic === BTRFS_SUPER_MAGIC;
}

/** Returns whether an open file is on a tmpfs. */
export function isInMemory(fd: number): boolean {
  return magicOf(fd) === TMPFS_MAGIC;
}

/** Returns whether an open file is on a devpts. */
export function isAmongTerminals(fd: number): boolean {
  return magicOf(fd) === DEVPTS_SUPER_MAGIC;
}

/** Returns whether an open file is on a file system like proc and sysfs, which generates its content. */
export function isMadeUp(fd: number): boolean {
  return GENERATED.has(magicOf(fd));
}

/** Returns the free bytes on the file system of an open file; Infinity if it does not report them. */
export function freeBytes(fd: number): number {
  const view = statfs(fd);
  const [size = 0, blocks, available = 0] = [72, 16, 32].map((offset) => Number(view.getBigUint64(offset, true)));
  return blocks ? size * available : Infinity;
}

/** Returns whether `path` is a control group or does not exist. */
export function isControlGroup(path: string): boolean {
  const number = shim.ib("openat", AT_FDCWD, cString(path), DIRECTORY);
  if (number < 0) return number === -ERRNO.ENOENT || number === -ERRNO.ENOTDIR;
  using fd = new Fd(number);
  const magic = magicOf(fd.number);
  return magic === CGROUP_SUPER_MAGIC || magic === CGROUP2_SUPER_MAGIC;
}

/** Writes all dirty data of the file system of an open file to disk: syncfs(2). */
export function syncFileSystem(fd: number): void {
  check(shim.i("syncfs", fd), "syncfs", fd);
}

/** Writes a file system to disk as {@linkcode syncFileSystem} does, in a thread of Deno's pool. */
export async function syncLater(fd: number): Promise<void> {
  check(await shim.wait("syncfs", fd, new Uint8Array(1)), "syncfs", fd);
}
