/**
 * Copies of single files with content, holes and attributes, for `apply` and `fork`.
 *
 * @module
 */

import { copyBytes, extentsOf, seekTo, shareBlocks } from "../../../ffi/fs/extents.ts";
import { Fd } from "../../../ffi/fs/fd.ts";
import { execute } from "../../../ffi/program/execute.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { callerStep } from "../../../ffi/program/model.ts";
import {
  chmod,
  chmodAt,
  chownAt,
  mknodAt,
  openAt,
  read,
  S_IF,
  type Status,
  symlinkAt,
  SystemError,
  utimesAt,
  writeAll,
} from "../../../ffi/fs/fs.ts";
import { failedWith } from "../../tar/tree.ts";

/** Copies the extended attributes of one open file to another. */
export type CopyXattrs = (from: number, to: number) => void;

const NEW_FILE = flags("O", "WRONLY", "CREAT", "EXCL", "NOFOLLOW");
const CHUNK = 1 << 20, BLOCK = 512;

function copyRange(from: number, to: number, length: number): void {
  try {
    return copyBytes(from, to, length);
  } catch (error) {
    // copy_file_range(2) does not copy between different types of file systems.
    if (!failedWith(error, "EXDEV", "EOPNOTSUPP", "ENOSYS")) throw error;
  }
  const buffer = new Uint8Array(CHUNK);
  for (let left = length, n = 1; left > 0 && n > 0; left -= n) {
    n = read(from, buffer.subarray(0, Math.min(left, CHUNK)));
    writeAll(to, buffer.subarray(0, n));
  }
}

/** Sets the size of an open file: 64 bits, which only programs can pass. */
function truncate(fd: number, size: number): void {
  const outcome = execute([callerStep("set the size", { call: "ftruncate", args: [fd, size] })]);
  if (!outcome.ok) throw new SystemError("ftruncate", `descriptor ${fd}`, outcome.errno);
}

/** Fills an empty file: shares blocks where the file system can (reflink), else copies data and keeps holes. */
function copyContent(from: number, to: number, { size, blocks }: Status): void {
  if (size === 0 || shareBlocks(from, to)) return;
  if (blocks * BLOCK >= size) return copyRange(from, to, size);
  for (const [offset, length] of extentsOf(from, size)) {
    seekTo(from, offset);
    seekTo(to, offset);
    copyRange(from, to, length);
  }
  truncate(to, size);
}

/** Copies owner, mode and extended attributes to an open file. The mode comes after chown(2), which clears set-ID bits. */
export function copyAttributes(from: number, to: number, { uid, gid, mode }: Status, copyXattrs: CopyXattrs): void {
  chownAt(to, "", uid | 0, gid | 0);
  chmod(to, mode & 0o7777);
  copyXattrs(from, to);
}

/** Copies the open regular file `from` to the new file `name`. */
export function copyFile(from: number, folder: number, name: string, status: Status, copyXattrs: CopyXattrs): void {
  using to = new Fd(openAt(folder, name, NEW_FILE, 0o600));
  copyContent(from, to.number, status);
  copyAttributes(from, to.number, status, copyXattrs);
  utimesAt(to.number, "", status.mtime);
}

/** Creates a symbolic link to `link`, or a device, FIFO or socket, as `status` describes it. */
export function copySpecial(link: string | undefined, folder: number, name: string, status: Status): void {
  const { mode, uid, gid, mtime, rdev } = status;
  const [major = 0, minor = 0] = rdev.split(":").map(Number);
  if (link === undefined) mknodAt(folder, name, mode & S_IF.MT | 0o600, major, minor);
  else symlinkAt(link, folder, name);
  chownAt(folder, name, uid | 0, gid | 0);
  if (link === undefined) chmodAt(folder, name, mode & 0o7777);
  utimesAt(folder, name, mtime);
}
