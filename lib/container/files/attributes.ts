/**
 * Extended attributes that `diff` compares and `apply` copies, without those of overlayfs.
 *
 * @module
 */

import { getXattr, listXattrs, removeXattr, setXattr } from "../../../ffi/fs/xattrs.ts";
import { isKept } from "../../tar/entry_attributes.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Returns the extended attributes of an open file or directory, with access control lists. */
export function xattrsOf(fd: number): Map<string, Bytes> {
  const found = new Map<string, Bytes>();
  for (const name of listXattrs(fd).sort()) {
    const value = isKept(name) || name.startsWith("system.posix_acl_") ? getXattr(fd, name) : undefined;
    if (value) found.set(name, value);
  }
  return found;
}

function asText(xattrs: ReadonlyMap<string, Bytes>): string {
  return [...xattrs].map(([name, value]) => `${name}=${value.toHex()}`).join("\n");
}

/** Returns whether two open files or directories have the same extended attributes. */
export function sameXattrs(one: number, other: number): boolean {
  return asText(xattrsOf(one)) === asText(xattrsOf(other));
}

/** Copies extended attributes from `from` to `to`, and removes others of their kinds. */
export function copyXattrs(from: number, to: number): void {
  const wanted = xattrsOf(from);
  for (const name of xattrsOf(to).keys()) if (!wanted.has(name)) removeXattr(to, name);
  for (const [name, value] of wanted) setXattr(to, name, value);
}
