/**
 * Applies the entries of an archive to a directory, one after the other. They are taken for hostile: no name is ever
 * resolved as a path, so nothing outside the directory can be read, written or linked to.
 *
 * @module
 */

import {
  chmod,
  close,
  linkAt,
  mkdirAt,
  mknodAt,
  openAt,
  S_IF,
  statusAt,
  symlinkAt,
  SystemError,
  unlinkAt,
  writeAll,
} from "../../ffi/fs/fs.ts";
import { setXattr } from "../../ffi/fs/xattrs.ts";
import { errnoNumber } from "../../ffi/errno.ts";
import { flags } from "../../ffi/program/flags.ts";
import { ImageError } from "../errors.ts";
import { walker } from "./descent.ts";
import { entryAttributes } from "./entry_attributes.ts";
import { componentsOfNames, WHITEOUT } from "./entry_path.ts";
import { sparseWriter } from "./sparse.ts";
import { quoteName, type TarEntry } from "./entry.ts";
import type { TarHandler } from "./read.ts";
import { failedWith, isSpecial, openDirectory, removeTree } from "./tree.ts";
import { DEFAULT_LIMITS, occupied, tooLarge, type UnpackLimits, unsafe } from "./unpack_refusals.ts";

const EBUSY = errnoNumber("EBUSY");

/** How to apply entries. */
export interface ApplyOptions {
  /** Whether whiteouts (`.wh.NAME`, `.wh..wh..opq`) are turned into those of overlayfs. Default: false. */
  layer?: boolean;
  /** Whether device nodes are made. Default: `skip`. */
  devices?: "create" | "skip";
  /**
   * What becomes of what is there already: `replace` puts the archive's in its place; with `merge` folders that are there
   * stay as they are, and none takes the place of something else or the other way round. Default: `replace`.
   */
  existing?: "replace" | "merge";
  /** Changes each entry's attributes before it is applied. Default: they stay. */
  change?: (entry: TarEntry) => TarEntry;
  /** What to refuse. Default: see {@linkcode UnpackLimits}. */
  limits?: Partial<UnpackLimits>;
}

/** What was unpacked. */
export interface Unpacked {
  /** Entries, and directories that had none. */
  entries: number;
  /** Bytes of the uncompressed stream. */
  bytes: number;
  /** Directories that had none, the first {@linkcode MOST_IMPLIED}; the top is the empty one. */
  implied: string[];
}

/** Takes the entries of an archive, in its order. */
export interface Applier extends TarHandler {
  /** Runs a part of the work; a failed system call becomes an error about the entry at hand. */
  guarded<T>(work: () => T): T;
  /** Counts bytes of the stream. */
  count(length: number): void;
  /** Says that there is no more. */
  finish(): Unpacked;
  /** Closes what is open. */
  close(): void;
}

/** How many directories without an entry are remembered. */
export const MOST_IMPLIED = 10_000;

const OPAQUE = ".wh..wh..opq";
const NEW_FILE = flags("O", "WRONLY", "CREAT", "EXCL", "NOFOLLOW");
const yes = new TextEncoder().encode("y");

function isWhiteout(status: { mode: number; rdev: string }): boolean {
  return (status.mode & S_IF.MT) === S_IF.CHR && status.rdev === "0:0";
}

/** Applies entries to the directory that `root` is open on. */
export function applyTo(root: number, options: ApplyOptions): Applier {
  const { layer = false, devices = "skip", change = (entry) => entry } = options;
  const merge = options.existing === "merge";
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const superuser = Deno.uid() === 0;
  const directories = new Map<string, TarEntry>();
  const tree = walker(root, makeParent), sources = walker(root, openParent);
  const attributes = entryAttributes(root), componentsOf = componentsOfNames(limits.depth, layer);
  let file: { fd: number; entry: TarEntry; write: (part: Uint8Array<ArrayBuffer>) => void } | undefined;
  let entries = 0, bytes = 0, subject = "";
  const implied = new Set<string>([""]);
  let way: readonly string[] = [];

  function count(): void {
    if (++entries > limits.entries) throw tooLarge("entries", limits.entries);
  }

  function openParent(parent: number, name: string): number {
    try {
      return openDirectory(parent, name);
    } catch (error) {
      if (!failedWith(error, "ENOTDIR", "ELOOP")) throw error;
      const link = (statusAt(parent, name).mode & S_IF.MT) === S_IF.LNK;
      throw unsafe(subject, `goes through ${quoteName(name)}, which is ${link ? "a symbolic link" : "no folder"}`);
    }
  }

  function markOpaque(directory: number): void {
    setXattr(directory, superuser ? "trusted.overlay.opaque" : "user.overlay.opaque", yes);
  }

  /** Makes a directory; one that takes the place of a whiteout hides what the whiteout hid. */
  function makeDirectory(parent: number, name: string, replace: (status: { mode: number; rdev: string }) => boolean) {
    let opaque = false;
    try {
      mkdirAt(parent, name, 0o700);
    } catch (error) {
      if (!failedWith(error, "EEXIST")) throw error;
      const status = statusAt(parent, name);
      if ((status.mode & S_IF.MT) === S_IF.DIR || !replace(status)) return false;
      opaque = layer && isWhiteout(status);
      removeTree(parent, name);
      mkdirAt(parent, name, 0o700);
    }
    if (opaque) withDirectory(parent, name, markOpaque);
    return true;
  }

  function makeParent(parent: number, name: string, depth: number): number {
    try {
      return openDirectory(parent, name);
    } catch (error) {
      if (!failedWith(error, "ENOENT", "ENOTDIR")) return openParent(parent, name);
    }
    let hides = false;
    const made = makeDirectory(parent, name, (status) => hides = layer && isWhiteout(status));
    if (made) {
      count();
      if (!hides && implied.size < MOST_IMPLIED) implied.add(way.slice(0, depth).join("/"));
    }
    const directory = openParent(parent, name);
    if (made) chmod(directory, 0o755);
    return directory;
  }

  function withDirectory(parent: number, name: string, use: (directory: number) => void): void {
    const directory = openDirectory(parent, name);
    try {
      use(directory);
    } finally {
      close(directory);
    }
  }

  /** Removes what a file, link or special file is to replace: a file or a link. */
  function removeFile(parent: number, name: string): void {
    const { mode, mount } = statusAt(parent, name);
    // The kernel only refuses to remove what something is mounted on in our own mount namespace.
    if (mount !== statusAt(parent).mount) throw new SystemError("unlinkat", name, EBUSY);
    if (isSpecial({ mode })) throw occupied(subject, "special");
    try {
      unlinkAt(parent, name);
    } catch (error) {
      throw failedWith(error, "EISDIR") ? occupied(subject, "folder") : error;
    }
  }

  /** Calls `make`, which must not replace anything; if something is in its way, removes that first. */
  function replacing<T>(parent: number, name: string, make: () => T): T {
    try {
      return make();
    } catch (error) {
      if (!failedWith(error, "EEXIST")) throw error;
    }
    if (merge) removeFile(parent, name);
    else removeTree(parent, name);
    sources.reset();
    return make();
  }

  function whiteout(parent: number, name: string, entry: TarEntry): void {
    const hidden = name.slice(WHITEOUT.length);
    if (entry.type !== "file" && entry.type !== "link") throw unsafe(entry.name, `is a whiteout, yet a ${entry.type}`);
    if (name === OPAQUE) return markOpaque(parent);
    if (hidden === "" || hidden === "." || hidden === ".." || hidden.startsWith(WHITEOUT)) {
      throw unsafe(entry.name, "is a whiteout of nothing that can be hidden");
    }
    try {
      mknodAt(parent, hidden, S_IF.CHR);
    } catch (error) {
      if (!failedWith(error, "EEXIST")) throw error;
      // A whiteout is about the layers below; what this layer itself holds stays.
      if ((statusAt(parent, hidden).mode & S_IF.MT) === S_IF.DIR) withDirectory(parent, hidden, markOpaque);
    }
  }

  function link(parent: number, name: string, entry: TarEntry): void {
    const from = componentsOf(entry.target), last = from.at(-1);
    if (last === undefined) throw unsafe(entry.name, "is a link to the root folder");
    const source = (): number => sources.enter(from, from.length - 1);
    if ((statusAt(source(), last).mode & S_IF.MT) === S_IF.DIR) throw unsafe(entry.name, "is a hard link to a folder");
    // Asked for again each time: what is replaced may be on the way to it.
    replacing(parent, name, () => linkAt(source(), last, parent, name));
  }

  /** Whether the very FIFO or device is there already: a tree can be copied again. */
  function isSameSpecial(parent: number, name: string, mode: number, { major, minor }: TarEntry): boolean {
    try {
      const there = statusAt(parent, name);
      return (there.mode & S_IF.MT) === (mode & S_IF.MT) && there.rdev === `${major}:${minor}`;
    } catch (error) {
      if (failedWith(error, "ENOENT")) return false;
      throw error;
    }
  }

  function special(parent: number, name: string, entry: TarEntry): void {
    const kind = { character: S_IF.CHR, block: S_IF.BLK, fifo: S_IF.IFO, symlink: 0 };
    if (entry.type === "symlink") replacing(parent, name, () => symlinkAt(entry.target, parent, name));
    else if (entry.type === "fifo" || devices === "create" && (entry.type === "character" || entry.type === "block")) {
      const mode = kind[entry.type] | 0o600;
      if (merge && isSameSpecial(parent, name, mode, entry)) return;
      replacing(parent, name, () => mknodAt(parent, name, mode, entry.major, entry.minor));
    } else return;
    attributes.applySpecial(parent, name, entry);
  }

  function beginFile(parent: number, name: string, entry: TarEntry): void {
    const fd = replacing(parent, name, () => openAt(parent, name, NEW_FILE, attributes.modeOf(entry)));
    file = { entry, fd, write: (part) => writeAll(fd, part) };
    if (entry.sparse) file.write = sparseWriter(fd, entry.sparse);
  }

  function begin(entry: TarEntry): void {
    subject = entry.name;
    count();
    if (entry.size > limits.bytes - bytes) throw tooLarge("bytes", limits.bytes);
    if ((entry.sparse ?? entry).size > limits.fileSize) throw tooLarge("bytes in a file", limits.fileSize);
    const path = componentsOf(entry.name), name = path.at(-1);
    if (name === undefined) {
      if (entry.type !== "directory") throw unsafe(entry.name, `is the root folder, yet a ${entry.type}`);
      if (!merge) directories.set("", entry);
      return;
    }
    way = path;
    const parent = tree.enter(path, path.length - 1);
    if (layer && name.startsWith(WHITEOUT)) whiteout(parent, name, entry);
    else if (entry.type === "file") {
      beginFile(parent, name, entry);
    } else if (entry.type === "directory") {
      const made = makeDirectory(parent, name, () => {
        if (merge) throw occupied(entry.name, "other");
        return true;
      });
      if (made || !merge) directories.set(path.join("/"), entry);
    } else if (entry.type === "link") link(parent, name, entry);
    else special(parent, name, entry);
  }

  function endFile(): void {
    if (!file) return;
    attributes.apply(file.fd, file.entry, true);
    close(file.fd);
    file = undefined;
  }

  /** Directories get their attributes last: what is put into them changes their time, and they may be read-only. */
  function finishDirectories(): void {
    tree.reset();
    sources.reset();
    const finished = walker(root, openDirectory);
    try {
      // In this order, a directory comes after those in it.
      for (const path of [...directories.keys()].sort().reverse()) {
        const entry = directories.get(path);
        if (!entry) continue;
        subject = entry.name;
        const parts = path === "" ? [] : path.split("/");
        try {
          attributes.apply(finished.enter(parts, parts.length), entry);
        } catch (error) {
          // A later entry may have replaced it by something else.
          if (!failedWith(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
        }
      }
    } finally {
      finished.reset();
    }
  }

  function guarded<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof SystemError)) throw error;
      throw new ImageError(`the archive cannot be unpacked: ${quoteName(subject)}: ${error.message}`, {
        code: "unpack-failed",
        facts: { entry: subject, errno: error.code },
        cause: error,
      });
    }
  }

  return {
    entry: (entry) => begin(change(entry)),
    body: (part) => file?.write(part),
    end: endFile,
    guarded,
    count(length) {
      bytes += length;
      if (bytes > limits.bytes) throw tooLarge("bytes", limits.bytes);
    },
    finish() {
      guarded(finishDirectories);
      return { entries, bytes, implied: [...implied].filter((path) => !directories.has(path)) };
    },
    close() {
      tree.reset();
      sources.reset();
      if (file) close(file.fd);
    },
  };
}
