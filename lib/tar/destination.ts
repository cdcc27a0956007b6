/**
 * The directory that an archive is unpacked to, entered one component at a time and never through a symbolic link; creates
 * and replaces directories in it, and marks them opaque for overlayfs.
 *
 * @module
 */

import {
  chmod,
  linkAt,
  mkdirAt,
  mknodAt,
  S_IF,
  type Status,
  statusAt,
  SystemError,
  unlinkAt,
} from "../../ffi/fs/fs.ts";
import { Fd } from "../../ffi/fs/fd.ts";
import { setXattr } from "../../ffi/fs/xattrs.ts";
import { errnoNumber } from "../../ffi/errno.ts";
import { type Walker, walker } from "./descent.ts";
import { type EntryAttributes, entryAttributes } from "./entry_attributes.ts";
import { componentsOfNames } from "./entry_path.ts";
import { quoteName, type TarEntry } from "./entry.ts";
import { failedWith, isSpecial, openDirectory, removeTree } from "./tree.ts";
import { DEFAULT_LIMITS, occupied, tooLarge, type UnpackLimits, unsafe } from "./unpack_refusals.ts";

const EBUSY = errnoNumber("EBUSY");
const YES = new TextEncoder().encode("y");

/** How to apply entries. */
export interface ApplyOptions {
  /** Whether whiteouts (`.wh.NAME`, `.wh..wh..opq`) become those of overlayfs. Default: false. */
  layer?: boolean;
  /** Whether device nodes are created. Default: `skip`. */
  devices?: "create" | "skip";
  /**
   * How existing files are treated: `replace` replaces them by the archive's; `merge` keeps existing directories as they
   * are, and refuses to replace a directory by something else or the reverse. Default: `replace`.
   */
  existing?: "replace" | "merge";
  /** Changes the attributes of an entry before it is applied. Default: they stay. */
  change?: (entry: TarEntry) => TarEntry;
  /** Limits of the archive. Default: see {@linkcode UnpackLimits}. */
  limits?: Partial<UnpackLimits>;
}

/** How many directories without an entry are recorded. */
export const MOST_IMPLIED = 10_000;

/** State of unpacking to a directory. */
export interface Destination {
  /** Open descriptor of the directory. */
  readonly root: number;
  readonly layer: boolean;
  readonly merge: boolean;
  readonly devices: boolean;
  readonly limits: UnpackLimits;
  readonly attributes: EntryAttributes;
  /** Splits the name of an entry. */
  readonly componentsOf: (name: string) => string[];
  /** Enters the parent directory of an entry; creates missing directories. */
  readonly parents: Walker;
  /** Enters the parent directory of a hard link's target; creates nothing. */
  readonly sources: Walker;
  /** Entries of directories by path, whose attributes are set last. */
  readonly directories: Map<string, TarEntry>;
  /** Paths of directories created without an entry. */
  readonly implied: Set<string>;
  /** Number of entries and implied directories. */
  entries: number;
  /** Number of bytes of the stream. */
  bytes: number;
  /** Name of the current entry, for errors. */
  name: string;
  /** Components of the current entry's path. */
  path: readonly string[];
  /** Regular file that is being written. */
  file?: { readonly fd: number; readonly entry: TarEntry; readonly write: (part: Uint8Array<ArrayBuffer>) => void };
}

/** Prepares unpacking to the directory that `root` is open on. */
export function destination(root: number, options: ApplyOptions): Destination {
  const { layer = false, devices = "skip" } = options, limits = { ...DEFAULT_LIMITS, ...options.limits };
  const to: Destination = {
    root,
    layer,
    merge: options.existing === "merge",
    devices: devices === "create",
    limits,
    attributes: entryAttributes(root),
    componentsOf: componentsOfNames(limits.depth, layer),
    parents: walker(root, (parent, name, depth) => enterOrCreate(to, parent, name, depth)),
    sources: walker(root, (parent, name) => enterDirectory(to, parent, name)),
    directories: new Map(),
    implied: new Set([""]),
    entries: 0,
    bytes: 0,
    name: "",
    path: [],
  };
  return to;
}

/** Counts an entry. Throws {@linkcode ImageError} `archive-too-large`. */
export function countEntry(to: Destination): void {
  if (++to.entries > to.limits.entries) throw tooLarge("entries", to.limits.entries);
}

function isWhiteout(status: Pick<Status, "mode" | "rdev">): boolean {
  return (status.mode & S_IF.MT) === S_IF.CHR && status.rdev === "0:0";
}

/** Reports whether `status` is that of a directory. */
export function isDirectory({ mode }: Pick<Status, "mode">): boolean {
  return (mode & S_IF.MT) === S_IF.DIR;
}

/** Marks an open directory opaque: overlayfs hides the directories of lower layers below it. */
export function markOpaque(directory: number): void {
  setXattr(directory, Deno.uid() === 0 ? "trusted.overlay.opaque" : "user.overlay.opaque", YES);
}

/** Marks the directory `name` of `parent` opaque. */
export function markOpaqueAt(parent: number, name: string): void {
  using directory = new Fd(openDirectory(parent, name));
  markOpaque(directory.number);
}

function enterDirectory({ name: entry }: Destination, parent: number, name: string): number {
  try {
    return openDirectory(parent, name);
  } catch (error) {
    if (!failedWith(error, "ENOTDIR", "ELOOP")) throw error;
    const link = (statusAt(parent, name).mode & S_IF.MT) === S_IF.LNK;
    throw unsafe(entry, `goes through ${quoteName(name)}, which is ${link ? "a symbolic link" : "not a directory"}`);
  }
}

/**
 * Creates a directory unless there is one. Something else is replaced if `replace` says so; a directory that replaces a
 * whiteout is opaque. Returns whether the directory is new.
 */
export function createDirectory(
  { layer }: Destination,
  parent: number,
  name: string,
  replace: (status: Status) => boolean,
): boolean {
  try {
    mkdirAt(parent, name, 0o700);
    return true;
  } catch (error) {
    if (!failedWith(error, "EEXIST")) throw error;
  }
  const status = statusAt(parent, name);
  if (isDirectory(status) || !replace(status)) return false;
  removeTree(parent, name);
  mkdirAt(parent, name, 0o700);
  if (layer && isWhiteout(status)) markOpaqueAt(parent, name);
  return true;
}

function enterOrCreate(to: Destination, parent: number, name: string, depth: number): number {
  try {
    return openDirectory(parent, name);
  } catch (error) {
    if (!failedWith(error, "ENOENT", "ENOTDIR")) return enterDirectory(to, parent, name);
  }
  let opaque = false;
  const created = createDirectory(to, parent, name, (status) => opaque = to.layer && isWhiteout(status));
  if (created) {
    countEntry(to);
    if (!opaque && to.implied.size < MOST_IMPLIED) to.implied.add(to.path.slice(0, depth).join("/"));
  }
  const directory = enterDirectory(to, parent, name);
  if (created) chmod(directory, 0o755);
  return directory;
}

/** Removes a file or link in the way of another file; refuses to remove a directory, special file or mount point. */
function removeFile({ name: entry }: Destination, parent: number, name: string): void {
  const status = statusAt(parent, name);
  // The kernel refuses to remove a mount point only in its own mount namespace.
  if (status.mount !== statusAt(parent).mount) throw new SystemError("unlinkat", name, EBUSY);
  if (isSpecial(status)) throw occupied(entry, "special");
  try {
    unlinkAt(parent, name);
  } catch (error) {
    throw failedWith(error, "EISDIR") ? occupied(entry, "folder") : error;
  }
}

/** Calls `create`, which fails with EEXIST if `name` exists; removes that and calls it again. */
export function replacing<T>(to: Destination, parent: number, name: string, create: () => T): T {
  try {
    return create();
  } catch (error) {
    if (!failedWith(error, "EEXIST")) throw error;
  }
  if (to.merge) removeFile(to, parent, name);
  else removeTree(parent, name);
  to.sources.reset();
  return create();
}

/** Creates a hard link to the file that the entry names. */
export function createLink(to: Destination, parent: number, name: string, entry: TarEntry): void {
  const path = to.componentsOf(entry.target), last = path.at(-1);
  if (last === undefined) throw unsafe(entry.name, "is a hard link to the root directory");
  const source = (): number => to.sources.enter(path, path.length - 1);
  if (isDirectory(statusAt(source(), last))) throw unsafe(entry.name, "is a hard link to a directory");
  // Entered again each time: the replaced file may be on the way to it.
  replacing(to, parent, name, () => linkAt(source(), last, parent, name));
}

/** Reports whether the same FIFO or device exists already, as when a tree is copied again. */
function isSameSpecial(parent: number, name: string, mode: number, { major, minor }: TarEntry): boolean {
  try {
    const status = statusAt(parent, name);
    return (status.mode & S_IF.MT) === (mode & S_IF.MT) && status.rdev === `${major}:${minor}`;
  } catch (error) {
    if (failedWith(error, "ENOENT")) return false;
    throw error;
  }
}

/** Creates a FIFO or device. */
export function createSpecial(to: Destination, parent: number, name: string, type: number, entry: TarEntry): void {
  const mode = type | 0o600;
  if (to.merge && isSameSpecial(parent, name, mode, entry)) return;
  replacing(to, parent, name, () => mknodAt(parent, name, mode, entry.major, entry.minor));
  to.attributes.applySpecial(parent, name, entry);
}
