/**
 * Extended attributes of open files (xattr(7)). All throw {@linkcode SystemError}.
 *
 * @module
 */

import { ERRNO } from "../errno.ts";
import { shim } from "../native.ts";
import { check } from "./fs.ts";
import { cPath, decodeName } from "./names.ts";

const { ERANGE, ENODATA, EOPNOTSUPP } = ERRNO;
const XATTR_SIZE_MAX = 65536;
// Reused by every call: most files have no attributes. The empty value needs a pointer, too.
const names = new Uint8Array(1024), empty = new Uint8Array(1);

/** Sets an extended attribute: fsetxattr(2). */
export function setXattr(fd: number, name: string, value: Uint8Array<ArrayBuffer>): void {
  check(shim.ibb("fsetxattr", fd, cPath(name), value.length ? value : empty, value.length), "fsetxattr", name);
}

/** Removes an extended attribute: fremovexattr(2). */
export function removeXattr(fd: number, name: string): void {
  check(shim.ib("fremovexattr", fd, cPath(name)), "fremovexattr", name);
}

/** Returns the names of all extended attributes; none where the file system does not support them: flistxattr(2). */
export function listXattrs(fd: number): string[] {
  for (let buffer = names;;) {
    const n = shim.ib("flistxattr", fd, buffer, buffer.length);
    if (n === 0 || n === -EOPNOTSUPP) return [];
    if (n !== -ERANGE) return decodeName(buffer.slice(0, check(n, "flistxattr", fd))).split("\0").slice(0, -1);
    buffer = new Uint8Array(XATTR_SIZE_MAX);
  }
}

/** Returns the value of an extended attribute; undefined if the file does not have it: fgetxattr(2). */
export function getXattr(fd: number, name: string): Uint8Array<ArrayBuffer> | undefined {
  for (let buffer = new Uint8Array(256);;) {
    const n = shim.ibb("fgetxattr", fd, cPath(name), buffer, buffer.length);
    if (n === -ENODATA || n === -EOPNOTSUPP) return undefined;
    if (n !== -ERANGE) return buffer.slice(0, check(n, "fgetxattr", name));
    buffer = new Uint8Array(XATTR_SIZE_MAX);
  }
}
