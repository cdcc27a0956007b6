/**
 * Why something with a file could not be done.
 *
 * @module
 */

import { errnoName } from "../../ffi/errno.ts";
import { messageOf } from "../errors.ts";

const REASONS: Readonly<Record<string, string>> = {
  EACCES: "this user may not",
  EISDIR: "it is a folder",
  ELOOP: "its symbolic links go round in circles",
  ENAMETOOLONG: "its name is too long",
  ENOENT: "there is no such file or folder",
  ENOSPC: "the disk is full",
  ENOTDIR: "a part of the path is no folder",
  ENXIO: "nobody is at its other end",
  EROFS: "the file system is read-only",
  ETXTBSY: "it is a program that runs",
};

/** Why something with the file `path` failed, in words of ours where Deno says it in the system's. */
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
