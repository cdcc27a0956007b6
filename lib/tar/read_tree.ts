/**
 * Reads a directory tree that other processes may be changing, as the entries of an archive: every name is looked up once, in
 * an open directory, and its file is used by descriptor from then on. Only regular files and directories are ever opened.
 *
 * @module
 */

import { extentsOf, seekTo } from "../../ffi/fs/extents.ts";
import { isMadeUp } from "../../ffi/fs/filesystems.ts";
import { Fd } from "../../ffi/fs/fd.ts";
import { flags } from "../../ffi/program/flags.ts";
import { AT_FDCWD, openAt, read, readLinkAt, readNames, S_IF, type Status, statusAt } from "../../ffi/fs/fs.ts";
import { getXattr, listXattrs } from "../../ffi/fs/xattrs.ts";
import { ImageError } from "../errors.ts";
import { quoteName, type TarEntry, type TarType } from "./entry.ts";
import { failedWith, openDirectory } from "./tree.ts";
import { descend, type Descent } from "./descent.ts";
import { isKept } from "./entry_attributes.ts";
import { DEFAULT_LIMITS } from "./unpack_refusals.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Piece = readonly [offset: number, length: number];

/** An entry, or bytes of the file whose entry came before; they are valid until the next part. */
export type TreePart = TarEntry | Uint8Array<ArrayBuffer>;

/** How to read a tree. */
export interface TreeOptions {
  /** The top's name in the archive. Default: none, it is `./` and what is in it has no other name in front. */
  readonly name?: string;
  /** Whether it is the upper directory of an overlay, whose whiteouts and opaque directories become a layer's. Default: false. */
  readonly layer?: boolean;
  /** Whether mounts below the top are left out, except for their mount points. Default: false. */
  readonly oneMount?: boolean;
  /** Reports whether to leave out `name` of the directory `parent`, `path` in the archive. Default: nothing is left out. */
  readonly omit?: (name: string, status: Status, parent: Status | undefined, path: string) => boolean;
  /** Changes each entry. Default: they stay. */
  readonly change?: (entry: TarEntry) => TarEntry;
  /** Called with each entry. */
  readonly onEntry?: (entry: TarEntry) => void;
  /** Called with names that an archive cannot hold: sockets, and files removed before they could be read. */
  readonly onLeftOut?: (name: string) => void;
}

const READ_CHUNK = 1 << 20, NOTHING = new Uint8Array();
const WHITEOUT = ".wh.", OPAQUE = ".wh..wh..opq";
const MAX_PIECES = 50_000, SMALLEST_HOLE = 4096;
const PLACE = flags("O", "PATH", "NOFOLLOW"), CONTENT = flags("O", "RDONLY", "NONBLOCK", "NOCTTY");
const OVERLAY = /^(?:trusted|user)\.overlay\.(.*)$/;
const TYPES: Readonly<Record<number, TarType>> = {
  [S_IF.REG]: "file",
  [S_IF.DIR]: "directory",
  [S_IF.LNK]: "symlink",
  [S_IF.CHR]: "character",
  [S_IF.BLK]: "block",
  [S_IF.IFO]: "fifo",
};
const blank = { size: 0, target: "", major: 0, minor: 0, xattrs: new Map<string, Bytes>() };

function unsupported(name: string, why: string): ImageError {
  return new ImageError(`an archive cannot hold ${quoteName(name)}: ${why}`, {
    code: "image-unsupported",
    facts: { entry: name },
  });
}

/** Returns the extended attributes of an open file: those that an archive has, and those by which overlayfs remembers things. */
function xattrsOf(fd: number) {
  const xattrs = new Map<string, Bytes>(), overlay = new Map<string, string>();
  for (const name of listXattrs(fd)) {
    const [, own] = OVERLAY.exec(name) ?? [];
    const value = own !== undefined || isKept(name) ? getXattr(fd, name) : undefined;
    if (!value) continue;
    if (own === undefined) xattrs.set(name, value);
    else overlay.set(own, String.fromCharCode(...value));
  }
  return { xattrs, overlay };
}

function entryOf(name: string, type: TarType, status: Status): TarEntry {
  const { mode, uid, gid, mtime } = status, [major = 0, minor = 0] = status.rdev.split(":").map(Number);
  const device = type === "character" || type === "block";
  return { ...blank, name, type, mode: mode & 0o7777, uid, gid, mtime, ...device ? { major, minor } : {} };
}

/** Returns the entry of a mount point, of which only the type is known. */
function mountPoint(name: string, type: TarType, { mtime }: Status): TarEntry {
  return { ...blank, name, type, mode: type === "directory" ? 0o755 : 0o644, uid: 0, gid: 0, mtime };
}

/** Returns a whiteout of `name` in the directory whose name in the archive is `prefix`. */
function whiteout(prefix: string, name: string, { mtime }: Status): TarEntry {
  return { ...blank, name: `${prefix}${WHITEOUT}${name}`, type: "file", mode: 0o600, uid: 0, gid: 0, mtime };
}

/** Returns the data extents of a file whose holes are worth a map; small holes count as data where there are very many. */
function piecesOf(fd: number, { size, stored }: Status): Piece[] | undefined {
  if (size - stored < SMALLEST_HOLE) return undefined;
  const pieces: [offset: number, length: number][] = [];
  for (const [offset, length] of extentsOf(fd, size)) {
    const last = pieces.at(-1);
    if (last && (pieces.length === MAX_PIECES || last[0] + last[1] === offset)) last[1] = offset + length - last[0];
    else pieces.push([offset, length]);
  }
  const [first] = pieces;
  return first?.[0] === 0 && first[1] === size ? undefined : pieces;
}

/** Returns the next `size` bytes of a file, always in the same buffer. */
function* body(fd: number, size: number, buffer: Bytes): Generator<TreePart> {
  for (let left = size; left > 0;) {
    const part = buffer.subarray(0, left), n = read(fd, part);
    // It was cut meanwhile: how long it is has been told already.
    if (n === 0) part.fill(0);
    left -= n || part.length;
    yield n ? part.subarray(0, n) : part;
  }
}

/** Directory on the way to the current file. */
interface OpenDirectory {
  readonly prefix: string;
  readonly status: Status;
  /** Names that are still to be read, last first. */
  readonly names: string[];
}

/** State of reading a tree. */
interface Reading {
  readonly options: TreeOptions;
  /** Mount of the top. */
  readonly mount: Status["mount"];
  /** Path of the first name of each file with several, by device and inode. */
  readonly linked: Map<string, string>;
  readonly buffer: Bytes;
  readonly open: OpenDirectory[];
  readonly way: Descent;
}

/** File that is being read; `fd` is open on it with `O_PATH`. */
interface Found {
  readonly fd: number;
  readonly prefix: string;
  readonly name: string;
  readonly path: string;
  readonly status: Status;
}

function put({ options: { change, onEntry } }: Reading, entry: TarEntry): TarEntry {
  onEntry?.(entry);
  return change ? change(entry) : entry;
}

function* readFile(reading: Reading, { fd: at, prefix, name, path, status }: Found): Generator<TreePart> {
  const { options: { layer = false }, buffer } = reading;
  // This link leads to the very file whose status was read.
  using file = new Fd(openAt(AT_FDCWD, `/proc/self/fd/${at}`, CONTENT));
  const fd = file.number, { xattrs, overlay } = xattrsOf(fd), { size } = status;
  if (layer && overlay.has("whiteout")) return yield put(reading, whiteout(prefix, name, status));
  if (layer && overlay.has("metacopy")) throw unsupported(path, "overlayfs keeps its content elsewhere");
  const entry = { ...entryOf(path, "file", status), size, xattrs };
  const pieces = layer ? undefined : piecesOf(fd, status);
  if (!pieces) {
    yield put(reading, entry);
    return yield* body(fd, size, buffer);
  }
  const stored = pieces.reduce((sum, [, length]) => sum + length, 0);
  yield put(reading, { ...entry, size: stored, sparse: { size, pieces } });
  for (const [offset, length] of pieces) {
    seekTo(fd, offset);
    yield* body(fd, length, buffer);
  }
}

/** Enters a directory. */
function* readDirectory(reading: Reading, { fd: at, name, path, status }: Found): Generator<TreePart> {
  const { options: { layer = false }, way, open } = reading, prefix = path && `${path}/`;
  const fd = openDirectory(at, ".");
  way.enter(name, fd);
  try {
    if (way.depth > DEFAULT_LIMITS.depth) throw unsupported(prefix, "it is nested too deep");
    const { xattrs, overlay } = xattrsOf(fd);
    if (layer && overlay.has("redirect")) throw unsupported(prefix, "overlayfs keeps its content elsewhere");
    yield put(reading, { ...entryOf(prefix || "./", "directory", status), xattrs });
    if (layer && overlay.get("opaque") === "y") {
      yield put(reading, { ...whiteout(prefix, "", status), name: prefix + OPAQUE });
    }
    open.push({ prefix, status, names: !layer && isMadeUp(fd) ? [] : readNames(fd).sort().reverse() });
  } catch (error) {
    way.leave();
    throw error;
  }
}

/** Reads a file of any type. */
function* readNode(reading: Reading, found: Found): Generator<TreePart> {
  const { options: { layer = false, oneMount = false, onLeftOut }, linked, mount } = reading;
  const { fd, prefix, name, path, status } = found, type = TYPES[status.mode & S_IF.MT];
  if (layer && type === "character" && status.rdev === "0:0") {
    return yield put(reading, whiteout(prefix, name, status));
  }
  if (layer && name.startsWith(WHITEOUT)) {
    throw unsupported(path, `names that begin with ${WHITEOUT} are reserved in layers`);
  }
  if (type === undefined) return onLeftOut?.(path);
  if (oneMount && status.mount !== mount) {
    return yield put(reading, mountPoint(type === "directory" ? `${path}/` : path, type, status));
  }
  if (type === "directory") return yield* readDirectory(reading, found);
  const inode = `${status.dev} ${status.ino}`, first = linked.get(inode);
  if (first !== undefined) return yield put(reading, { ...entryOf(path, "link", status), target: first });
  if (type === "file") yield* readFile(reading, found);
  else if (type === "symlink") yield put(reading, { ...entryOf(path, type, status), target: readLinkAt(fd, "") });
  else yield put(reading, entryOf(path, type, status));
  if (status.nlink > 1) linked.set(inode, path);
}

function* readChild(reading: Reading, { prefix, status: above }: OpenDirectory, name: string): Generator<TreePart> {
  const { options: { omit, onLeftOut }, way } = reading, path = prefix + name;
  try {
    using file = new Fd(openAt(way.fd(), name, PLACE));
    const fd = file.number, status = statusAt(fd);
    // Lets the consumer yield to other work, however much is omitted.
    if (omit?.(name, status, above, path)) yield NOTHING;
    else yield* readNode(reading, { fd, prefix, name, path, status });
  } catch (error) {
    // It is gone since.
    if (!failedWith(error, "ENOENT", "ESTALE")) throw error;
    onLeftOut?.(path);
  }
}

/**
 * Reads the file that `top` is open on, possibly with `O_PATH`, and all below it: entries, each regular file's followed by its
 * content, of a sparse file by its data only. The same tree always gives the same parts. Memory use grows with the number of
 * hard links, not of files.
 *
 * Throws {@linkcode ImageError} `image-unsupported` for files that an archive cannot hold, and `SystemError` for files that
 * cannot be read.
 */
export function* readTree(top: number, options: TreeOptions = {}): Generator<TreePart> {
  const { name = "", omit } = options, status = statusAt(top);
  if (omit?.("", status, undefined, name)) return;
  const open: OpenDirectory[] = [], way = descend(top), buffer = new Uint8Array(READ_CHUNK);
  const reading: Reading = { options, mount: status.mount, linked: new Map(), buffer, open, way };
  try {
    yield* readNode(reading, { fd: top, prefix: "", name, path: name, status });
    for (let directory = open.at(-1); directory; directory = open.at(-1)) {
      const child = directory.names.pop();
      if (child !== undefined) yield* readChild(reading, directory, child);
      else {
        open.pop();
        way.leave();
      }
    }
  } finally {
    way.reset();
  }
}
