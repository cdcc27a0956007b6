/**
 * The two sides of a copy: how paths are looked up on this machine and in a container. Each is looked up once; what is
 * copied then, and where to, are descriptors.
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
  /** Opens a path there. */
  open(path: string, how: Flags): number;
  /** How to call it: ` in the container web`. */
  readonly where: string;
  /** The container, if it is one's. */
  readonly root?: Root;
}

/** What is copied, open. */
export interface Source extends Copied {
  /** The descriptor, for nothing but looking further; the caller closes it. */
  readonly fd: number;
}

/** Where a copy goes, open. */
export interface Target extends Destination {
  /** The folder itself if one is there, else the one that it is or will be in. */
  readonly fd: number;
}

const FOLDER = flags("O", "RDONLY", "DIRECTORY"), PLACE = flags("O", "PATH");
const PLACE_ITSELF = flags("O", "PATH", "NOFOLLOW"), PLACE_FOLDER = flags("O", "PATH", "DIRECTORY");
const MAX_LINKS = 40;

/** This machine. */
export const HOST: Side = { open: (path, how) => openAt(AT_FDCWD, path, how), where: "" };

/** A container. */
export function inside(root: Root): Side {
  const { fd, record } = root;
  return { open: (path, how) => openIn(fd, path, how), where: ` in the container ${record.name ?? record.id}`, root };
}

/** An error about one side, {@linkcode InputError} or {@linkcode ContainerError}. */
export function failure({ where, root }: Side, message: string, code: string, hint?: string, cause?: unknown): Error {
  const details = { code, facts: { container: root?.record.id }, hint, cause };
  return root ? new ContainerError(`${message}${where}`, details) : new InputError(message, details);
}

/** The error of a path that cannot be opened. */
function unopened(side: Side, path: string, error: unknown): unknown {
  if (!(error instanceof SystemError)) return error;
  const name = quoteName(path);
  if (error.code === "ENOENT") return failure(side, `there is no ${name}`, "file-not-found", undefined, error);
  if (error.code === "ENOTDIR") return failure(side, `${name} is no folder, or lies in none`, "not-a-folder");
  const hint = error.code === "ELOOP" ? "links of /proc are not followed, nor those that lead in circles" : undefined;
  return failure(side, `${name} cannot be opened: ${describeErrno(error.errno)}`, "open-failed", hint, error);
}

function open(side: Side, path: string, how: Flags): number {
  try {
    return side.open(path || ".", how);
  } catch (error) {
    throw unopened(side, path, error);
  }
}

/** Opens a folder. Throws what {@linkcode failure} makes. */
export function openFolder(side: Side, path: string): number {
  return open(side, path, FOLDER);
}

/** The last component of a path as it is written, `..` resolved; empty for the root. */
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

/** Opens what is copied; a last symbolic link is followed if `follow` says so or the path can only be a folder's. */
export function openSource(side: Side, path: string, follow: boolean): Source {
  const asserted = /(^|\/)\.{0,2}$/.test(path);
  const fd = open(side, path, asserted ? PLACE_FOLDER : follow ? PLACE : PLACE_ITSELF);
  const name = nameOf(side, path), contents = name === "" || /(^|\/)\.$/.test(path);
  if (!isMadeUp(fd)) return { fd, folder: (statusAt(fd).mode & S_IF.MT) === S_IF.DIR, name, contents };
  close(fd);
  throw failure(
    side,
    `${quoteName(path)} cannot be copied: the kernel makes it up when it is read`,
    "file-made-up",
    "read it with cat",
  );
}

/** What `name` in an open folder is, and where it leads if it is a symbolic link. */
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

/** Opens where a copy goes; symbolic links are followed, also to what is not there yet. The caller closes it. */
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
    // The links in /proc/PID/fd lead to what a descriptor is open on: /dev/stdout to the file that a shell writes to.
    if (isMadeUp(fd)) {
      throw failure(
        side,
        `nothing can be copied to ${quoteName(path)}: the kernel makes up what is there`,
        "file-made-up",
        "name a file or a folder, or - for an archive on standard output",
      );
    }
    const { there, link } = lookAt(fd, name);
    if (link === undefined) {
      kept = true;
      return { fd, there, name, slash: clean !== path };
    }
    if (links === MAX_LINKS) throw failure(side, `${quoteName(path)} leads in circles`, "open-failed");
    return openTarget(side, link.startsWith("/") ? link : `${above}/${link}`, links + 1);
  } finally {
    if (!kept) close(fd);
  }
}
