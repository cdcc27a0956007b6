/**
 * What kind of file system an open file lies on (`statfs(2)`). Every function throws {@linkcode SystemError} on failure.
 *
 * @module
 */

import { flags } from "../program/flags.ts";
import { AT_FDCWD, close, SystemError } from "./fs.ts";
import { cString, shim } from "../native.ts";

const ENOENT = 2, ENOTDIR = 20, FOLDER = flags("O", "PATH", "DIRECTORY", "CLOEXEC").value;

const TMPFS_MAGIC = 0x01021994, DEVPTS_MAGIC = 0x1cd1;
const SHARING_MAGIC: ReadonlySet<number> = new Set([0x58465342, 0x9123683e]);
// Their files are made up by the kernel when they are read.
const KERNEL_MAGIC: ReadonlySet<number> = new Set([
  ...[0x9fa0, 0x62656572, 0x27e0eb, 0x63677270, 0x1cd1, 0x19800202, 0x64626720, 0x74726163, 0x73636673, 0xcafe4a11],
  ...[0x6165676c, 0xde5e81e4, 0x62656570, 0x65735543, 0x42494e4d, 0x6e736673],
]);

function fileSystemOf(fd: number): number {
  const buffer = new Uint8Array(120);
  const result = shim.ib("fstatfs", fd, buffer);
  if (result < 0) throw new SystemError("fstatfs", `descriptor ${fd}`, -result);
  return new DataView(buffer.buffer).getUint32(0, true);
}

/** Whether an open file lies on a file system that can share blocks between files: XFS, Btrfs. */
export function mayShareBlocks(fd: number): boolean {
  return SHARING_MAGIC.has(fileSystemOf(fd));
}

/** Whether an open file lies on a tmpfs. */
export function isInMemory(fd: number): boolean {
  return fileSystemOf(fd) === TMPFS_MAGIC;
}

/** Whether an open file lies on a devpts. */
export function isAmongTerminals(fd: number): boolean {
  return fileSystemOf(fd) === DEVPTS_MAGIC;
}

/** Whether an open file lies on a file system like proc and sysfs, whose files are made up when they are read. */
export function isMadeUp(fd: number): boolean {
  return KERNEL_MAGIC.has(fileSystemOf(fd));
}

/** How many bytes there is room for on the file system of an open file; Infinity if it does not say. */
export function freeBytes(fd: number): number {
  const buffer = new Uint8Array(120), view = new DataView(buffer.buffer);
  const result = shim.ib("fstatfs", fd, buffer);
  if (result < 0) throw new SystemError("fstatfs", `descriptor ${fd}`, -result);
  const [size, blocks, available] = [72, 16, 32].map((offset) => Number(view.getBigUint64(offset, true)));
  return blocks ? (size ?? 0) * (available ?? 0) : Infinity;
}

const CGROUP_MAGIC: ReadonlySet<number> = new Set([0x27e0eb, 0x63677270]);

/** Whether there is a control group at `path`, or nothing. */
export function isControlGroup(path: string): boolean {
  const fd = shim.ib("openat", AT_FDCWD, cString(path), FOLDER);
  if (fd < 0) return -fd === ENOENT || -fd === ENOTDIR;
  try {
    return CGROUP_MAGIC.has(fileSystemOf(fd));
  } finally {
    close(fd);
  }
}
