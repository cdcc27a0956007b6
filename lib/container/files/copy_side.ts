/**
 * Sides of a copy (cp): lookup of paths on the host and in a container. Each path is looked up once, and is a descriptor
 * from then on.
 *
 * @module
 */

import { describeErrno } from "../../../ffi/errno.ts";
import { isMadeUp } from "../../../ffi/fs/filesystems.ts";
import { type Flags, flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt, openIn, readLinkAt, S_IF, statusAt, SystemError } from "../../../ffi/fs/fs.ts";
import { ContainerError, InputError } from "../../errors.ts";
import { quoteName } from "../../tar/entry.ts";
import { failedWith } from "../../tar/tree.ts";
import type { Copied, Destination } from "./copy_target.ts";
import type { Root } from "./rootfs_mount.ts";

/** One side of a copy. */
export interface Side {
  /** Opens a path. */
  open(path: string, how: Flags): number;
  /** Suffix for errors: ` in container web`. */
  readonly where: string;
  /** The container. Default: the host. */
  readonly root?: Root;
}

/** The open source of a copy. */
export interface Source extends Copied {
  /** The `O_PATH` descriptor; the caller closes it. */
  readonly fd: number;
}

/** The open target of a copy. */
export interface Target extends Destination {
  /** The target itself if it is a directory, else its parent; the caller closes it. */
  readonly fd: number;
}

const FOLDER = flags("O", "RDONLY", "DIRECTORY"), PLACE = flags("O", "PATH");
const PLACE_ITSELF = flags("O", "PATH", "NOFOLLOW"), PLACE_FOLDER = flags("O", "PATH", "DIRECTORY");
const MAX_LINKS = 40;

/** The host. */
export const HOST: Side = { open: (path, how) => openAt(AT_FDCWD, path, how), where: "" };

/** Returns the side of a container. */
export function inside(root: Root): Side {
  const { fd, record } = root;
  return { open: (path, how) => openIn(fd, path, how), where: ` in container ${record.name ?? record.id}`, root };
}

/** Returns an error about one side: {@linkcode InputError} of the host, {@linkcode ContainerError} of a container. */
export function failure({ where, root }: Side, message: string, code: string, hint?: string, cause?: unknown): Error {
  const details = { code, facts: { container: root?.record.id }, hint, cause };
  return root ? new ContainerError(`${message}${where}`, details) : new InputError(message, details);
}

/** Returns the error of a path that cannot be opened. */
function unopened(side: Side, path: string, error: unknown): unknown {
  if (!(error instanceof SystemError)) return error;
  const name = quoteName(path);
  if (error.code === "ENOENT") {
    return failure(side, `no such file or directory: ${name}`, "file-not-found", undefined, error);
  }
  if (error.code === "ENOTDIR") return failure(side, `not a directory: ${name}, or its parent`, "not-a-folder");
  const hint = error.code === "ELOOP" ? "name its target: magic links of /proc and loops are not followed" : undefined;
  return failure(side, `cannot open ${name}: ${describeErrno(error.errno)}`, "open-failed", hint, error);
}

function open(side: Side, path: string, how: Flags): number {
  try {
    return side.open(path || ".", how);
  } catch (error) {
    throw unopened(side, path, error);
  }
}

/** Opens a directory. Throws an error of {@linkcode failure}. */
export function openFolder(side: Side, path: string): number {
  return open(side, path, FOLDER);
}

/** Returns the last component of a path as written, with `..` resolved; empty for the root. */
function lastOf(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.at(-1) ?? "";
}

function nameOf(side: Side, path: string): string {
  const written = path.split("/").findLast((part) => part !== "" && part !== ".");
  if (side.root || written !== undefined && written !== "..") return lastOf(path);
  return lastOf(Deno.realPathSync(path));
}

/** Opens the source; follows a symbolic link at the end if `follow`, or if the path ends with a slash. */
export function openSource(side: Side, path: string, follow: boolean): Source {
  const asserted = /(^|\/)\.{0,2}$/.test(path);
  const fd = open(side, path, asserted ? PLACE_FOLDER : follow ? PLACE : PLACE_ITSELF);
  const name = nameOf(side, path), contents = name === "" || /(^|\/)\.$/.test(path);
  if (!isMadeUp(fd)) return { fd, folder: (statusAt(fd).mode & S_IF.MT) === S_IF.DIR, name, contents };
  close(fd);
  throw failure(
    side,
    `cannot copy ${quoteName(path)}: a virtual file of the kernel`,
    "file-made-up",
    "read it with cat",
  );
}

/** Returns the type of `name` in an open directory, and the target of a symbolic link. */
function lookAt(fd: number, name: string): { there: "file" | "special" | "nothing"; link?: string } {
  try {
    const type = statusAt(fd, name).mode & S_IF.MT;
    if (type === S_IF.LNK) return { there: "file", link: readLinkAt(fd, name) };
    return { there: type === S_IF.REG ? "file" : "special" };
  } catch (error) {
    if (failedWith(error, "ENOENT")) return { there: "nothing" };
    throw error;
  }
}

/** Opens the target; follows symbolic links, also to files that do not exist yet. The caller closes it. */
export function openTarget(side: Side, path: string, links = 0): Target {
  try {
    return { fd: side.open(path || ".", FOLDER), there: "folder", name: "", slash: true };
  } catch (error) {
    if (!failedWith(error, "ENOENT", "ENOTDIR")) throw unopened(side, path, error);
  }
  const clean = path.replace(/(\/\.?)+$/, ""), at = clean.lastIndexOf("/");
  const above = at < 0 ? "." : clean.slice(0, at) || "/", name = clean.slice(at + 1);
  const fd = openFolder(side, above);
  let kept = false;
  try {
    // Links in /proc/PID/fd lead to the open file: /dev/stdout to the file that a shell writes to.
    if (isMadeUp(fd)) {
      throw failure(
        side,
        `cannot write ${quoteName(path)}: a virtual file system of the kernel`,
        "file-made-up",
        "name a file or a directory, or - for an archive on standard output",
      );
    }
    const { there, link } = lookAt(fd, name);
    if (link === undefined) {
      kept = true;
      return { fd, there, name, slash: clean !== path };
    }
    if (links === MAX_LINKS) {
      throw failure(side, `cannot open ${quoteName(path)}: too many symbolic links`, "open-failed");
    }
    return openTarget(side, link.startsWith("/") ? link : `${above}/${link}`, links + 1);
  } finally {
    if (!kept) close(fd);
  }
}
