/**
 * Reasons of failed file operations.
 *
 * @module
 */

import { errnoName } from "../../ffi/errno.ts";
import { messageOf } from "../errors.ts";

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EISDIR: "it is a directory",
  ELOOP: "too many levels of symbolic links",
  ENAMETOOLONG: "the name is too long",
  ENOENT: "no such file or directory",
  ENOSPC: "the disk is full",
  ENOTDIR: "part of the path is not a directory",
  ENXIO: "no process has the other end open",
  EROFS: "read-only file system",
  ETXTBSY: "the program is running",
};

/** Returns why an operation on the file `path` failed, in plain words instead of Deno's `os error`. */
export function reasonOf(error: unknown, path: string): string {
  const text = messageOf(error);
  const [all, number, named] = / \(os error (\d+)\)(?:: \w+ '(.*)')?$/s.exec(text) ?? [];
  if (all === undefined) return text;
  // Deno has no code for some, such as ENXIO.
  const code = errnoName(Number(number));
  const reason = Object.hasOwn(REASONS, code) ? REASONS[code] : undefined;
  const where = named === undefined || named === path ? "" : `: ${named}`;
  return (reason ?? text.slice(0, -all.length)) + where;
}
