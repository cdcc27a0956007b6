/**
 * Reads a tree of files that somebody else may be changing: every name is looked up once, in an open directory, and what
 * it then is, is what is read. Nothing but regular files and directories is ever opened.
 *
 * @module
 */

import { extentsOf, seekTo } from "../../ffi/fs/extents.ts";
import { isMadeUp } from "../../ffi/fs/filesystems.ts";
import { flags } from "../../ffi/program/flags.ts";
import {
  AT_FDCWD,
  close,
  getXattr,
  listXattrs,
  openAt,
  read,
  readLinkAt,
  readNames,
  S_IF,
  type Status,
  statusAt,
} from "../../ffi/fs/fs.ts";
import { ImageError } from "../errors.ts";
import { quoteName, type TarEntry, type TarType } from "./entry.ts";
import { failedWith, openDirectory } from "./tree.ts";
import { descend } from "./descent.ts";
import { isKept } from "./entry_attributes.ts";
import { DEFAULT_LIMITS } from "./unpack_refusals.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Piece = readonly [offset: number, length: number];

/** An entry, or bytes of the file whose entry came before; they are valid until the next part. */
export type TreePart = TarEntry | Uint8Array<ArrayBuffer>;

/** How to read a tree. */
export interface TreeOptions {
  /** The top's name in the archive. Default: none, it is `../image/` and what is in it has no other name in front. */
  readonly name?: string;
  /** Whether it is the upper folder of an overlay, whose whiteouts and opaque folders become a layer's. Default: false. */
  readonly layer?: boolean;
  /** Whether what is mounted below the top is left out, but for what it is mounted on. Default: false. */
  readonly oneMount?: boolean;
  /** Whether to leave out `name` of the directory `parent`, `path` in the archive. Default: nothing is left out. */
  readonly omit?: (name: string, status: Status, parent: Status | undefined, path: string) => boolean;
  /** Changes each entry. Default: they stay. */
  readonly change?: (entry: TarEntry) => TarEntry;
  /** Hears of each entry. */
  readonly onEntry?: (entry: TarEntry) => void;
  /** Hears of what an archive cannot hold: sockets, and names that are gone before they can be read. */
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

/** The extended attributes of an open file: those that an archive has, and those by which overlayfs remembers things. */
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

/** What something is mounted on, of which nothing is known but its kind. */
function mountPoint(name: string, type: TarType, { mtime }: Status): TarEntry {
  return { ...blank, name, type, mode: type === "directory" ? 0o755 : 0o644, uid: 0, gid: 0, mtime };
}

/** A whiteout of `name` in the folder whose name in the archive is `prefix`. */
function whiteout(prefix: string, name: string, { mtime }: Status): TarEntry {
  return { ...blank, name: `${prefix}${WHITEOUT}${name}`, type: "file", mode: 0o600, uid: 0, gid: 0, mtime };
}

/** Where the data of a file is, if it has holes worth a map; small ones count as data where there are very many. */
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

/** The next `size` bytes of a file, always in the same buffer. */
function* body(fd: number, size: number, buffer: Bytes): Generator<TreePart> {
  for (let left = size; left > 0;) {
    const part = buffer.subarray(0, left), n = read(fd, part);
    // It was cut meanwhile: how long it is has been told already.
    if (n === 0) part.fill(0);
    left -= n || part.length;
    yield n ? part.subarray(0, n) : part;
  }
}

/**
 * What `top` is open on, be it with `O_PATH`, and all that is in it: entries, and behind those of files their content, of
 * those with holes only the data. The same tree always gives the same. Memory use does not grow with the files, but with
 * the number of hard links.
 *
 * Throws {@linkcode ImageError} `image-unsupported` for what an archive cannot say, and `SystemError` if something cannot
 * be read.
 */
export function* readTree(top: number, options: TreeOptions = {}): Generator<TreePart> {
  const { layer = false, oneMount = false, omit, change, onEntry, onLeftOut } = options;
  const linked = new Map<string, string>(), buffer = new Uint8Array(READ_CHUNK);
  const home = statusAt(top).mount;

  function* put(entry: TarEntry): Generator<TreePart> {
    onEntry?.(entry);
    yield change ? change(entry) : entry;
  }

  function* file(fd: number, path: string, status: Status, prefix: string, name: string): Generator<TreePart> {
    const { xattrs, overlay } = xattrsOf(fd), { size } = status;
    if (layer && overlay.has("whiteout")) return yield* put(whiteout(prefix, name, status));
    if (layer && overlay.has("metacopy")) throw unsupported(path, "overlayfs keeps its content elsewhere");
    const entry = { ...entryOf(path, "file", status), size, xattrs };
    const pieces = layer ? undefined : piecesOf(fd, status);
    if (!pieces) {
      yield* put(entry);
      return yield* body(fd, size, buffer);
    }
    const stored = pieces.reduce((sum, [, length]) => sum + length, 0);
    yield* put({ ...entry, size: stored, sparse: { size, pieces } });
    for (const [offset, length] of pieces) {
      seekTo(fd, offset);
      yield* body(fd, length, buffer);
    }
  }

  /** What is in the directory that the way leads to, to be read. */
  interface Open {
    readonly prefix: string;
    readonly status: Status;
    /** From the last to the first. */
    readonly names: string[];
  }

  /** Enters the directory that `fd` is open on. It is closed if it cannot be read. */
  function* enter(fd: number, name: string, prefix: string, status: Status): Generator<TreePart> {
    way.enter(name, fd);
    try {
      if (way.depth > DEFAULT_LIMITS.depth) throw unsupported(prefix, "it is nested too deep");
      const { xattrs, overlay } = xattrsOf(fd);
      if (layer && overlay.has("redirect")) throw unsupported(prefix, "overlayfs keeps its content elsewhere");
      yield* put({ ...entryOf(prefix || "./", "directory", status), xattrs });
      if (layer && overlay.get("opaque") === "y") {
        yield* put({ ...whiteout(prefix, "", status), name: prefix + OPAQUE });
      }
      open.push({ prefix, status, names: !layer && isMadeUp(fd) ? [] : readNames(fd).sort().reverse() });
    } catch (error) {
      way.leave();
      throw error;
    }
  }

  function* child({ prefix, status: above }: Open, name: string): Generator<TreePart> {
    let fd = -1;
    try {
      fd = openAt(way.fd(), name, PLACE);
      const status = statusAt(fd);
      // So that whoever reads can give others their turn, however much is left out.
      if (omit?.(name, status, above, prefix + name)) yield NOTHING;
      else yield* node(fd, prefix, name, status);
    } catch (error) {
      // It is gone since.
      if (!failedWith(error, "ENOENT", "ESTALE")) throw error;
      onLeftOut?.(prefix + name);
    } finally {
      close(fd);
    }
  }

  /** One entry, whatever it is; `at` is open on it with `O_PATH`. */
  function* node(at: number, prefix: string, name: string, status: Status): Generator<TreePart> {
    const type = TYPES[status.mode & S_IF.MT], path = prefix + name;
    if (layer && type === "character" && status.rdev === "0:0") return yield* put(whiteout(prefix, name, status));
    if (layer && name.startsWith(WHITEOUT)) {
      throw unsupported(path, `names that begin with ${WHITEOUT} are reserved in layers`);
    }
    if (type === undefined) return onLeftOut?.(path);
    if (oneMount && status.mount !== home) {
      return yield* put(mountPoint(type === "directory" ? `${path}/` : path, type, status));
    }
    if (type === "directory") return yield* enter(openDirectory(at, "."), name, path && `${path}/`, status);
    const inode = `${status.dev} ${status.ino}`, first = linked.get(inode);
    if (first !== undefined) return yield* put({ ...entryOf(path, "link", status), target: first });
    if (type === "file") yield* content(at, path, status, prefix, name);
    else if (type === "symlink") yield* put({ ...entryOf(path, type, status), target: readLinkAt(at, "") });
    else yield* put(entryOf(path, type, status));
    if (status.nlink > 1) linked.set(inode, path);
  }

  function* content(at: number, path: string, status: Status, prefix: string, name: string): Generator<TreePart> {
    // The link leads to the very file that was looked at.
    const fd = openAt(AT_FDCWD, `/proc/self/fd/${at}`, CONTENT);
    try {
      yield* file(fd, path, status, prefix, name);
    } finally {
      close(fd);
    }
  }

  const status = statusAt(top), open: Open[] = [], way = descend(top);
  if (omit?.("", status, undefined, options.name ?? "")) return;
  try {
    yield* node(top, "", options.name ?? "", status);
    for (let directory = open.at(-1); directory; directory = open.at(-1)) {
      const name = directory.names.pop();
      if (name !== undefined) yield* child(directory, name);
      else {
        open.pop();
        way.leave();
      }
    }
  } finally {
    way.reset();
  }
}
