/**
 * Extended attributes of files that are compared and carried over: not those by which the kernel remembers things.
 *
 * @module
 */

import { getXattr, listXattrs, removeXattr, setXattr } from "../../../ffi/fs/xattrs.ts";
import { isKept } from "../../tar/entry_attributes.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** The extended attributes of an open file or folder, access control lists among them. */
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

/** Whether two open files or folders have the same extended attributes. */
export function sameXattrs(one: number, other: number): boolean {
  return asText(xattrsOf(one)) === asText(xattrsOf(other));
}

/** Gives the open file `to` the extended attributes of `from`, and no others of their kinds. */
export function copyXattrs(from: number, to: number): void {
  const wanted = xattrsOf(from);
  for (const name of xattrsOf(to).keys()) if (!wanted.has(name)) removeXattr(to, name);
  for (const [name, value] of wanted) setXattr(to, name, value);
}
