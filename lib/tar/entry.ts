/**
 * Entries of tar archives.
 *
 * @module
 */

import { printable } from "../text/printable.ts";
import type { SparseMap } from "./sparse.ts";

/** Type of an entry. */
export type TarType = "file" | "link" | "symlink" | "character" | "block" | "directory" | "fifo";

/** One entry of an archive, with the extended headers before it applied. */
export interface TarEntry {
  /** Its name as written: not checked, perhaps absolute, perhaps with `..`. No NUL. */
  name: string;
  /** Its type. */
  type: TarType;
  /** The bytes that follow; 0 for all but files. */
  size: number;
  /** Permission bits with set-user-id, set-group-id and sticky (07777). */
  mode: number;
  /** The owner's user id. */
  uid: number;
  /** The owner's group id. */
  gid: number;
  /** The time of the last modification, in nanoseconds since the epoch. */
  mtime: bigint;
  /** Target of a hard or symbolic link; else empty. */
  target: string;
  /** A device's major number. */
  major: number;
  /** A device's minor number. */
  minor: number;
  /** Extended attributes by name. */
  xattrs: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  /** Positions of the body's bytes in a sparse file. */
  sparse?: SparseMap;
}

/** Returns a name from an archive as a message shows it: quoted, and shortened if it is very long. */
export function quoteName(name: string): string {
  return printable(JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name));
}
