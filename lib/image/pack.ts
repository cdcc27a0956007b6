/**
 * Makes a layer of a folder, such as the upper one of an overlay: what `unpackLayer` does, the other way round. The same
 * folder always gives the same bytes.
 *
 * @module
 */

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
  SystemError,
} from "../../ffi/fs.ts";
import { flags } from "../../ffi/flags.ts";
import { ImageError } from "../errors.ts";
import { type ByteSource, CHUNK, joined, writeChunks } from "./chunks.ts";
import { measure, measuring } from "./measure.ts";
import { quoteName, type TarEntry, type TarType } from "./tar.ts";
import { TAR_END, tarHeader, tarPadding } from "./tar_write.ts";
import { gzip } from "./transform.ts";
import { failedWith, openDirectory } from "./tree.ts";
import { DEFAULT_LIMITS, isKept } from "./unpack.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** A layer that was made. */
export interface PackedLayer {
  /** The digest of the file, which is gzip. */
  digest: string;
  /** The file's size. */
  size: number;
  /** The digest of the archive in it. */
  diffId: string;
  /** How many entries the archive has. */
  entries: number;
}

const WHITEOUT = ".wh.", OPAQUE = ".wh..wh..opq";
// A FIFO that has taken the file's place must not make it wait.
const FILE = flags("O", "RDONLY", "NOFOLLOW", "NONBLOCK");
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
  return new ImageError(`a layer cannot hold ${quoteName(name)}: ${why}`, {
    code: "image-unsupported",
    facts: { entry: name },
  });
}

/** The extended attributes of an open file: those that a layer has, and those by which overlayfs remembers things. */
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

/** A whiteout of `name` in the folder whose name in the archive is `prefix`. */
function whiteout(prefix: string, name: string, { mtime }: Status): TarEntry {
  return { ...blank, name: `${prefix}${WHITEOUT}${name}`, type: "file", mode: 0o600, uid: 0, gid: 0, mtime };
}

function* archive(root: number, count: () => void): Generator<Bytes> {
  const linked = new Map<string, string>();

  function* put(entry: TarEntry): Generator<Bytes> {
    count();
    yield tarHeader(entry);
  }

  function* body(fd: number, size: number): Generator<Bytes> {
    let left = size;
    while (left > 0) {
      const buffer = new Uint8Array(Math.min(CHUNK, left)), n = read(fd, buffer);
      // It was cut meanwhile: its header is written already.
      left -= n || buffer.length;
      yield n ? buffer.subarray(0, n) : buffer;
    }
    yield tarPadding(size);
  }

  function* file(parent: number, prefix: string, name: string): Generator<Bytes> {
    const fd = openAt(parent, name, FILE);
    try {
      const status = statusAt(fd);
      if ((status.mode & S_IF.MT) !== S_IF.REG) return;
      const { xattrs, overlay } = xattrsOf(fd);
      if (overlay.has("whiteout")) return yield* put(whiteout(prefix, name, status));
      if (overlay.has("metacopy")) throw unsupported(prefix + name, "overlayfs keeps its content elsewhere");
      yield* put({ ...entryOf(prefix + name, "file", status), size: status.size, xattrs });
      yield* body(fd, status.size);
    } finally {
      close(fd);
    }
  }

  function* directory(fd: number, prefix: string, depth: number): Generator<Bytes> {
    if (depth > DEFAULT_LIMITS.depth) throw unsupported(prefix, "it is nested too deep");
    const status = statusAt(fd), { xattrs, overlay } = xattrsOf(fd);
    if (overlay.has("redirect")) throw unsupported(prefix, "overlayfs keeps its content elsewhere");
    yield* put({ ...entryOf(prefix || "./", "directory", status), xattrs });
    if (overlay.get("opaque") === "y") {
      yield* put({ ...whiteout(prefix, "", status), name: prefix + OPAQUE });
    }
    for (const name of readNames(fd).sort()) {
      try {
        yield* child(fd, prefix, name, depth);
      } catch (error) {
        // It is gone since, or something else.
        if (!failedWith(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
      }
    }
  }

  function* child(parent: number, prefix: string, name: string, depth: number): Generator<Bytes> {
    const status = statusAt(parent, name), type = TYPES[status.mode & S_IF.MT], path = prefix + name;
    if (type === "character" && status.rdev === "0:0") return yield* put(whiteout(prefix, name, status));
    if (name.startsWith(WHITEOUT)) throw unsupported(path, `names that begin with ${WHITEOUT} are reserved`);
    if (type === undefined) return;
    if (type === "directory") {
      const fd = openDirectory(parent, name);
      try {
        return yield* directory(fd, `${path}/`, depth + 1);
      } finally {
        close(fd);
      }
    }
    const inode = `${status.dev} ${status.ino}`, first = linked.get(inode);
    if (first !== undefined) return yield* put({ ...entryOf(path, "link", status), target: first });
    if (type === "file") yield* file(parent, prefix, name);
    else if (type === "symlink") yield* put({ ...entryOf(path, type, status), target: readLinkAt(parent, name) });
    else yield* put(entryOf(path, type, status));
    if (status.nlink > 1) linked.set(inode, path);
  }

  yield* directory(root, "", 0);
  yield TAR_END;
}

async function compressTo(path: string, source: ByteSource) {
  const inner = measure(), outer = measure();
  await writeChunks(path, measuring(gzip(measuring(source, inner)), outer));
  return { ...outer.result(), diffId: inner.result().digest };
}

/**
 * Packs the folder `upper` into the new file `toPath`: a gzip'ed OCI layer with owners, times, hard links, devices and
 * extended attributes; overlayfs' whiteouts and opaque folders become those of layers. Sockets are left out. Memory use
 * does not grow with the folder's files.
 *
 * Throws {@linkcode ImageError} `image-unsupported` for what a layer cannot say, `pack-failed` if something cannot be
 * read, and the reason of `signal` if that is aborted.
 */
export async function packLayer(
  upper: string,
  toPath: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<PackedLayer> {
  let entries = 0, root = -1;
  try {
    root = openDirectory(AT_FDCWD, upper);
    const packed = await compressTo(toPath, joined(archive(root, () => void entries++), signal));
    return { ...packed, entries };
  } catch (error) {
    if (!(error instanceof SystemError)) throw error;
    throw new ImageError(`${upper} cannot be packed: ${error.message}`, {
      code: "pack-failed",
      facts: { folder: upper, errno: error.code },
      cause: error,
    });
  } finally {
    if (root >= 0) close(root);
  }
}
