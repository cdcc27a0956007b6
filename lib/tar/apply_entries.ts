/**
 * Applies the entries of an archive to a directory, one after the other. They are untrusted: no name is ever resolved as a
 * path, so nothing outside the directory can be read, written or linked to.
 *
 * @module
 */

import { close, mknodAt, openAt, S_IF, statusAt, symlinkAt, SystemError, writeAll } from "../../ffi/fs/fs.ts";
import { flags } from "../../ffi/program/flags.ts";
import { ImageError } from "../errors.ts";
import { walker } from "./descent.ts";
import {
  type ApplyOptions,
  countEntry,
  createDirectory,
  createLink,
  createSpecial,
  type Destination,
  destination,
  isDirectory,
  markOpaque,
  markOpaqueAt,
  replacing,
} from "./destination.ts";
import { WHITEOUT } from "./entry_path.ts";
import { sparseWriter } from "./sparse.ts";
import { quoteName, type TarEntry } from "./entry.ts";
import type { TarHandler } from "./read.ts";
import { failedWith, openDirectory } from "./tree.ts";
import { occupied, tooLarge, unsafe } from "./unpack_refusals.ts";

export type { ApplyOptions };

/** Result of unpacking. */
export interface Unpacked {
  /** Entries, and directories without an entry. */
  entries: number;
  /** Bytes of the uncompressed stream. */
  bytes: number;
  /** Directories without an entry, the first {@linkcode MOST_IMPLIED}; the root is the empty one. */
  implied: string[];
}

/** Receiver of the entries of an archive, in its order. */
export interface Applier extends TarHandler {
  /** Runs a part of the work; a failed system call becomes an error about the current entry. */
  guarded<T>(work: () => T): T;
  /** Counts bytes of the stream. */
  count(length: number): void;
  /** Ends the input: sets the attributes of directories. */
  finish(): Unpacked;
  /** Closes all open descriptors. */
  close(): void;
}

const OPAQUE = ".wh..wh..opq";
const NEW_FILE = flags("O", "WRONLY", "CREAT", "EXCL", "NOFOLLOW");
const SPECIAL = { character: S_IF.CHR, block: S_IF.BLK, fifo: S_IF.IFO } as const;

function applyWhiteout(parent: number, name: string, entry: TarEntry): void {
  const hidden = name.slice(WHITEOUT.length);
  if (entry.type !== "file" && entry.type !== "link") throw unsafe(entry.name, `is a whiteout, yet a ${entry.type}`);
  if (name === OPAQUE) return markOpaque(parent);
  if (hidden === "" || hidden === "." || hidden === ".." || hidden.startsWith(WHITEOUT)) {
    throw unsafe(entry.name, "is a whiteout of an invalid name");
  }
  try {
    mknodAt(parent, hidden, S_IF.CHR);
  } catch (error) {
    if (!failedWith(error, "EEXIST")) throw error;
    // A whiteout hides lower layers; files of this layer itself stay.
    if (isDirectory(statusAt(parent, hidden))) markOpaqueAt(parent, hidden);
  }
}

function beginFile(to: Destination, parent: number, name: string, entry: TarEntry): void {
  const fd = replacing(to, parent, name, () => openAt(parent, name, NEW_FILE, to.attributes.modeOf(entry)));
  to.file = { entry, fd, write: (part) => writeAll(fd, part) };
  if (entry.sparse) to.file = { ...to.file, write: sparseWriter(fd, entry.sparse) };
}

function applyDirectory(to: Destination, parent: number, name: string, entry: TarEntry): void {
  const created = createDirectory(to, parent, name, () => {
    if (to.merge) throw occupied(entry.name, "other");
    return true;
  });
  if (created || !to.merge) to.directories.set(to.path.join("/"), entry);
}

function applySymlink(to: Destination, parent: number, name: string, entry: TarEntry): void {
  replacing(to, parent, name, () => symlinkAt(entry.target, parent, name));
  to.attributes.applySpecial(parent, name, entry);
}

function applyEntry(to: Destination, parent: number, name: string, entry: TarEntry): void {
  if (to.layer && name.startsWith(WHITEOUT)) return applyWhiteout(parent, name, entry);
  switch (entry.type) {
    case "file":
      return beginFile(to, parent, name, entry);
    case "directory":
      return applyDirectory(to, parent, name, entry);
    case "link":
      return createLink(to, parent, name, entry);
    case "symlink":
      return applySymlink(to, parent, name, entry);
    default:
      if (to.devices || entry.type === "fifo") createSpecial(to, parent, name, SPECIAL[entry.type], entry);
  }
}

function beginEntry(to: Destination, entry: TarEntry): void {
  const { limits } = to;
  to.name = entry.name;
  countEntry(to);
  if (entry.size > limits.bytes - to.bytes) throw tooLarge("bytes", limits.bytes);
  if ((entry.sparse ?? entry).size > limits.fileSize) throw tooLarge("bytes in a file", limits.fileSize);
  const path = to.componentsOf(entry.name), name = path.at(-1);
  if (name === undefined) {
    if (entry.type !== "directory") throw unsafe(entry.name, `is the root directory, yet a ${entry.type}`);
    if (!to.merge) to.directories.set("", entry);
    return;
  }
  to.path = path;
  applyEntry(to, to.parents.enter(path, path.length - 1), name, entry);
}

function endEntry(to: Destination): void {
  if (!to.file) return;
  to.attributes.apply(to.file.fd, to.file.entry, true);
  close(to.file.fd);
  to.file = undefined;
}

/** Sets the attributes of directories, last: what is put into them changes their time, and they may be read-only. */
function finishDirectories(to: Destination): void {
  to.parents.reset();
  to.sources.reset();
  const finished = walker(to.root, openDirectory);
  try {
    // In reverse order, a directory comes after those in it.
    for (const path of [...to.directories.keys()].sort().reverse()) {
      const entry = to.directories.get(path), parts = path === "" ? [] : path.split("/");
      if (!entry) continue;
      to.name = entry.name;
      try {
        to.attributes.apply(finished.enter(parts, parts.length), entry);
      } catch (error) {
        // A later entry may have replaced it by something else.
        if (!failedWith(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
      }
    }
  } finally {
    finished.reset();
  }
}

function explain({ name }: Destination, error: unknown): unknown {
  if (!(error instanceof SystemError)) return error;
  return new ImageError(`cannot unpack ${quoteName(name)}: ${error.message}`, {
    code: "unpack-failed",
    facts: { entry: name, errno: error.code },
    cause: error,
  });
}

/** Applies entries to the directory that `root` is open on. */
export function applyTo(root: number, options: ApplyOptions): Applier {
  const { change = (entry) => entry } = options, to = destination(root, options);
  const guard = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw explain(to, error);
    }
  };
  return {
    entry: (entry) => beginEntry(to, change(entry)),
    body: (part) => to.file?.write(part),
    end: () => endEntry(to),
    guarded: guard,
    count(length) {
      to.bytes += length;
      if (to.bytes > to.limits.bytes) throw tooLarge("bytes", to.limits.bytes);
    },
    finish() {
      guard(() => finishDirectories(to));
      const { entries, bytes, implied, directories } = to;
      return { entries, bytes, implied: [...implied].filter((path) => !directories.has(path)) };
    },
    close() {
      to.parents.reset();
      to.sources.reset();
      if (to.file) close(to.file.fd);
    },
  };
}
