/**
 * Applies a tar stream to a directory, as an image or as a layer of one. The stream is taken for hostile: no name in it
 * is ever resolved as a path, so nothing outside the directory can be read, written or linked to.
 *
 * @module
 */

import {
  chmod,
  chmodAt,
  chownAt,
  close,
  getXattr,
  linkAt,
  mkdirAt,
  mknodAt,
  openAt,
  readNames,
  S_IF,
  setXattr,
  statusAt,
  symlinkAt,
  SystemError,
  unlinkAt,
  utimesAt,
  writeAll,
} from "../../ffi/fs.ts";
import { flags } from "../../ffi/flags.ts";
import { ImageError } from "../errors.ts";
import type { ByteSource } from "./chunks.ts";
import type { TreePart } from "./read_tree.ts";
import { sparseWriter } from "./sparse.ts";
import { quoteName, type TarEntry } from "./tar_entry.ts";
import { tarReader } from "./tar_read.ts";
import { failedWith, openDirectory, removeTree, walker } from "./tree.ts";

/** How much an archive may hold. */
export interface UnpackLimits {
  /** Entries and directories. Default: 1,000,000. */
  entries: number;
  /** Bytes of the uncompressed stream. Default: 64 GiB. */
  bytes: number;
  /** Components of a name. Default: 128. */
  depth: number;
  /** Bytes of one file, with its holes. Default: 1 TiB. */
  fileSize: number;
}

/** How to unpack. */
export interface UnpackOptions {
  /** Whether the archive may stop without the mark of its end, as its content is verified otherwise. Default: false. */
  mayLackEnd?: boolean;
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

/** How many directories without an entry are remembered. */
export const MOST_IMPLIED = 10_000;

/** How much an archive may hold unless the caller says otherwise. */
export const DEFAULT_LIMITS: UnpackLimits = { entries: 1_000_000, bytes: 64 * 2 ** 30, depth: 128, fileSize: 2 ** 40 };
const MAX_NAME = 4095, BREATH_MS = 20;
const SETGID = 0o2000, PERMISSIONS = 0o777;
const WHITEOUT = ".wh.", OPAQUE = ".wh..wh..opq";
const NEW_FILE = flags("O", "WRONLY", "CREAT", "EXCL", "NOFOLLOW");
const yes = new TextEncoder().encode("y");

function unsafe(name: string, why: string): ImageError {
  return new ImageError(`the archive is unsafe: ${quoteName(name)} ${why}`, {
    code: "archive-unsafe",
    facts: { entry: name },
    hint: "Do not use it, unless you know how it was made.",
  });
}

function tooLarge(what: string, limit: number): ImageError {
  return new ImageError(`the archive holds more than ${limit} ${what}`, {
    code: "archive-too-large",
    facts: { limit },
    hint: "Raise the limit if you trust it.",
  });
}

function occupied(name: string, there: "folder" | "other"): ImageError {
  const why = there === "folder"
    ? "there is a folder, which it does not replace"
    : "is a folder; what is there is none";
  return new ImageError(`${quoteName(name)}: ${why}`, {
    code: "occupied",
    facts: { entry: name },
    hint: "remove or rename one of them",
  });
}

function isWhiteout(status: { mode: number; rdev: string }): boolean {
  return (status.mode & S_IF.MT) === S_IF.CHR && status.rdev === "0:0";
}

/** Which extended attributes are kept: an image must not speak to overlayfs or to the host's security modules. */
export function isKept(xattr: string): boolean {
  return xattr === "security.capability" || xattr.startsWith("user.") && !xattr.startsWith("user.overlay.");
}

/**
 * The permission bits that files made in a directory do not get; undefined if their owner or mode cannot be foretold, as
 * in one that hands on its group or access control list, or holds something already.
 */
function creationMask(root: number): number | undefined {
  const { gid, mode } = statusAt(root), status = Deno.readTextFileSync("/proc/thread-self/status");
  const [, umask] = /^Umask:\s*([0-7]+)$/m.exec(status) ?? [], [, group] = /^Gid:\s*\d+\s+(\d+)/m.exec(status) ?? [];
  if (Deno.uid() !== 0 || group !== "0" || gid !== 0 || mode & SETGID || umask === undefined) return undefined;
  if (getXattr(root, "system.posix_acl_default")) return undefined;
  const listed = openDirectory(root, ".");
  try {
    return readNames(listed).length ? undefined : parseInt(umask, 8);
  } finally {
    close(listed);
  }
}

function applyTo(root: number, options: UnpackOptions) {
  const { layer = false, devices = "skip", change = (entry) => entry } = options;
  const merge = options.existing === "merge";
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const superuser = Deno.uid() === 0;
  const directories = new Map<string, TarEntry>();
  const tree = walker(root, makeParent), sources = walker(root, openParent);
  const mask = creationMask(root);
  let file: { fd: number; entry: TarEntry; write: (part: Uint8Array<ArrayBuffer>) => void } | undefined;
  let entries = 0, bytes = 0, subject = "";
  let near = "", nearParts: string[] = [];
  const implied = new Set<string>([""]);
  let way: readonly string[] = [];

  function count(): void {
    if (++entries > limits.entries) throw tooLarge("entries", limits.entries);
  }

  function componentsOf(name: string): string[] {
    // Most entries are beside the one before.
    const slash = name.lastIndexOf("/"), last = name.slice(slash + 1);
    const isNear = slash > 0 && name.slice(0, slash) === near && last !== "" && last !== "." && last !== "..";
    if (isNear && name.length <= MAX_NAME && nearParts.length < limits.depth) return [...nearParts, last];
    const path = name.split("/").filter((part) => part !== "" && part !== ".");
    if (path.includes("..")) throw unsafe(name, "climbs out with `..`");
    if (path.length > limits.depth) throw tooLarge("components in a name", limits.depth);
    if (name.length > MAX_NAME) throw tooLarge("characters in a name", MAX_NAME);
    if (layer && path.slice(0, -1).some((part) => part.startsWith(WHITEOUT))) {
      throw unsafe(name, "is below a name that is reserved for whiteouts");
    }
    if (slash > 0 && path.at(-1) === last) [near, nearParts] = [name.slice(0, slash), path.slice(0, -1)];
    return path;
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

  function removeFile(parent: number, name: string): void {
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

  function applyXattrs(fd: number, xattrs: TarEntry["xattrs"]): void {
    for (const [name, value] of xattrs) {
      if (!isKept(name)) continue;
      try {
        setXattr(fd, name, value);
      } catch (error) {
        const plain = !superuser && failedWith(error, "EPERM");
        if (!plain && !failedWith(error, "EOPNOTSUPP", "ENOTSUP")) throw error;
      }
    }
  }

  /** Changes the owner of `name`; of `fd` if it is empty. Ids from 2^31 go into the kernel's 32 bits as negative numbers. */
  function applyOwner(fd: number, name: string, entry: TarEntry): void {
    if (superuser) chownAt(fd, name, entry.uid | 0, entry.gid | 0);
  }

  /**
   * Sets what a file or directory is besides its content, or `made` as it is already. Changing the owner clears mode bits
   * and capabilities, so it goes first.
   */
  function applyAttributes(fd: number, entry: TarEntry, made = false): void {
    const owned = made && mask !== undefined && entry.uid === 0 && entry.gid === 0;
    if (!owned) applyOwner(fd, "", entry);
    if (!owned || entry.mode & (mask | ~PERMISSIONS)) chmod(fd, entry.mode);
    if (entry.xattrs.size) applyXattrs(fd, entry.xattrs);
    utimesAt(fd, "", entry.mtime);
  }

  function applySpecial(parent: number, name: string, entry: TarEntry): void {
    applyOwner(parent, name, entry);
    if (entry.type !== "symlink") chmodAt(parent, name, entry.mode);
    utimesAt(parent, name, entry.mtime);
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

  function special(parent: number, name: string, entry: TarEntry): void {
    const kind = { character: S_IF.CHR, block: S_IF.BLK, fifo: S_IF.IFO, symlink: 0 };
    if (entry.type === "symlink") replacing(parent, name, () => symlinkAt(entry.target, parent, name));
    else if (entry.type === "fifo" || devices === "create" && (entry.type === "character" || entry.type === "block")) {
      const mode = kind[entry.type] | 0o600;
      replacing(parent, name, () => mknodAt(parent, name, mode, entry.major, entry.minor));
    } else return;
    applySpecial(parent, name, entry);
  }

  function beginFile(parent: number, name: string, entry: TarEntry): void {
    const mode = mask === undefined ? 0o600 : entry.mode & PERMISSIONS;
    const fd = replacing(parent, name, () => openAt(parent, name, NEW_FILE, mode));
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
    applyAttributes(file.fd, file.entry, true);
    close(file.fd);
    file = undefined;
  }

  /** Directories get their attributes last: what is put into them changes their time, and they may be read-only. */
  function finishDirectories(): void {
    const finished = walker(root, openDirectory);
    try {
      // In this order, a directory comes after those in it.
      for (const path of [...directories.keys()].sort().reverse()) {
        const entry = directories.get(path);
        if (!entry) continue;
        subject = entry.name;
        const parts = path === "" ? [] : path.split("/");
        try {
          applyAttributes(finished.enter(parts, parts.length), entry);
        } catch (error) {
          // A later entry may have replaced it by something else.
          if (!failedWith(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
        }
      }
    } finally {
      finished.reset();
    }
  }

  /** Runs a part of the work; a failed system call becomes an error about the entry at hand. */
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
    entry: (entry: TarEntry): void => begin(change(entry)),
    body: (part: Uint8Array<ArrayBuffer>): void => file?.write(part),
    end: endFile,
    guarded,
    /** Counts bytes of the stream. */
    count(length: number): void {
      bytes += length;
      if (bytes > limits.bytes) throw tooLarge("bytes", limits.bytes);
    },
    finish(): Unpacked {
      guarded(finishDirectories);
      return { entries, bytes, implied: [...implied].filter((path) => !directories.has(path)) };
    },
    close(): void {
      tree.reset();
      sources.reset();
      if (file) close(file.fd);
    },
  };
}

/**
 * Applies an uncompressed tar stream to the directory that `root` is open on. Names are taken below it whatever they
 * begin with; what is not a directory replaces what is there, a directory only its attributes. Owners are set if the
 * caller is root; of the extended attributes, `security.capability` and `user.*` are.
 *
 * Throws {@linkcode ImageError} `archive-unsafe` (`..`, a way through a symbolic link, a bad whiteout),
 * `archive-too-large`, `archive-malformed`, `archive-truncated`, `archive-unsupported` or `unpack-failed`, and `occupied`
 * if nothing is to be replaced; the directory then holds a part of the archive.
 */
export async function unpack(source: ByteSource, root: number, options: UnpackOptions = {}): Promise<Unpacked> {
  const applied = applyTo(root, options), reader = tarReader(applied, options.mayLackEnd);
  try {
    for await (const chunk of source) {
      applied.count(chunk.length);
      applied.guarded(() => reader.push(chunk));
    }
    reader.finish();
    return applied.finish();
  } finally {
    applied.close();
  }
}

/**
 * Like {@linkcode unpack}, of what an archive would consist of. Now and then the thread's other work has its turn.
 *
 * @param signal Gives up when aborted.
 */
export async function writeTree(
  parts: Iterable<TreePart>,
  root: number,
  options: UnpackOptions = {},
  signal?: AbortSignal,
): Promise<Unpacked> {
  const applied = applyTo(root, options);
  const take = (part: TreePart): void => {
    if (part instanceof Uint8Array) {
      applied.count(part.length);
      return applied.body(part);
    }
    applied.end();
    applied.entry(part);
  };
  try {
    let since = performance.now();
    for (const part of parts) {
      applied.guarded(() => take(part));
      if (performance.now() - since < BREATH_MS) continue;
      await new Promise((resolve) => setTimeout(resolve));
      signal?.throwIfAborted();
      since = performance.now();
    }
    applied.guarded(applied.end);
    return applied.finish();
  } finally {
    applied.close();
  }
}
