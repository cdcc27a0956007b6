/**
 * File states: the type, mode, owner and size that `diff` compares.
 *
 * @module
 */

import { S_IF, type Status, statusAt } from "../../../ffi/fs/fs.ts";
import { failedWith } from "../../tar/tree.ts";
import type { FileKind, FileState } from "./changes.ts";

const KINDS: Readonly<Record<number, FileKind>> = {
  [S_IF.REG]: "file",
  [S_IF.DIR]: "folder",
  [S_IF.LNK]: "link",
  [S_IF.IFO]: "fifo",
  [S_IF.SOCK]: "socket",
  [S_IF.CHR]: "character device",
  [S_IF.BLK]: "block device",
};

/** Returns the state that `status` describes. */
export function stateOf({ mode, uid, gid, size }: Status): FileState {
  const type = KINDS[mode & S_IF.MT] ?? "file";
  return { type, mode: mode & 0o7777, uid, gid, size: type === "folder" ? 0 : size };
}

/** Returns the status of `name` in an open directory; undefined if it does not exist. */
export function lookUp(folder: number | undefined, name: string): Status | undefined {
  if (folder === undefined) return undefined;
  try {
    return statusAt(folder, name);
  } catch (error) {
    if (failedWith(error, "ENOENT")) return undefined;
    throw error;
  }
}
