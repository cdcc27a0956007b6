/**
 * Copies of files between containers, the host and archives (cp). Both ends are descriptors, so that neither changes of
 * paths meanwhile nor file names lead out of them.
 *
 * @module
 */

import { describeErrno } from "../../../ffi/errno.ts";
import { Fd } from "../../../ffi/fs/fd.ts";
import { AT_FDCWD, S_IF, type Status, statusAt, SystemError } from "../../../ffi/fs/fs.ts";
import { ImageError } from "../../errors.ts";
import type { ApplyOptions, Unpacked } from "../../tar/apply_entries.ts";
import { type ByteSource, joined } from "../../tar/chunks.ts";
import { decompress } from "../../tar/decompress.ts";
import { quoteName, type TarEntry } from "../../tar/entry.ts";
import { readTree, type TreeOptions } from "../../tar/read_tree.ts";
import { archiveTree } from "../../tar/tree_archive.ts";
import { unpack, writeTree } from "../../tar/unpack.ts";
import { placeCopy, type Refusal } from "./copy_target.ts";
import { failure, HOST, inside, openFolder, openSource, openTarget, type Side, type Source } from "./copy_side.ts";
import { findContainer } from "../state/names.ts";
import { withRoot } from "./rootfs_mount.ts";

/** Options of a copy. */
export interface CopyOptions {
  /** Keep owners, set-user-ID bits and extended attributes. Default: false, files belong to the target's user. */
  readonly archive?: boolean;
  /** Follow a symbolic link as the source. Default: false. */
  readonly followLink?: boolean;
  /** Gives up when aborted. */
  readonly signal?: AbortSignal;
}

/** Result of a copy. */
export interface CopyResult {
  /** Number of files, directories and links. */
  readonly entries: number;
  /** Bytes of files, without holes; or of the archive. */
  readonly bytes: number;
  /** Names that were left out: sockets, devices from a container, and files that vanished meanwhile. */
  readonly leftOut: readonly string[];
}

/** A path in a container or on the host. */
export interface FilePlace {
  /** Name or ID of the container. Default: the host. */
  readonly container?: string;
  /** The path; in a container relative to its root. */
  readonly path: string;
}

const SET_IDS = 0o6000;
// A tree is bounded by the file system it is on.
const NO_LIMITS = { entries: Infinity, bytes: Infinity, fileSize: Infinity };

const REFUSALS: Readonly<Record<Refusal, readonly [why: string, hint: string]>> = {
  "no-folder": ["no such directory", "create it first, or omit the / at the end"],
  "not-a-folder": ["not a directory", "omit the / at the end"],
  "special-file": [
    "a device, FIFO or socket is not replaced",
    "name a file or a directory, or - for an archive on standard output",
  ],
  "folder-onto-file": ["cannot copy a directory onto a file", "name another destination"],
};

/** Returns the change of entries that are copied: owner, set-user-ID bits, extended attributes. */
function arrival(to: Side, { archive = false }: CopyOptions): ((entry: TarEntry) => TarEntry) | undefined {
  if (archive) return undefined;
  const owner = to.root ? { uid: 0, gid: 0 } : { uid: Deno.uid() ?? 0, gid: Deno.gid() ?? 0 };
  const none = new Map();
  // As with chown(2): the new owner has not granted set-user-ID.
  return (entry) => ({
    ...entry,
    ...owner,
    xattrs: none,
    mode: entry.type === "file" ? entry.mode & ~SET_IDS : entry.mode,
  });
}

async function* untilAborted(chunks: ByteSource, signal?: AbortSignal): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for await (const chunk of chunks) {
    signal?.throwIfAborted();
    yield chunk;
  }
}

/** Runs `write`, which fills an open directory, and turns its errors into those of a copy. */
async function arrive(
  from: Side,
  to: Side,
  options: CopyOptions,
  write: (options: ApplyOptions) => Promise<Unpacked>,
): Promise<Unpacked> {
  const devices = to.root && !from.root ? "create" : "skip";
  try {
    return await write({ existing: "merge", devices, change: arrival(to, options), limits: NO_LIMITS });
  } catch (error) {
    if (!(error instanceof ImageError) || !["unpack-failed", "occupied"].includes(error.code)) throw error;
    const name = quoteName(String(error.facts.entry));
    if (!(error.cause instanceof SystemError)) throw failure(to, error.message, error.code, error.hint, error);
    const { code, errno } = error.cause;
    const hint = code === "EROFS"
      ? "mount it writable"
      : code === "EBUSY"
      ? "name another path: a mount point is not replaced"
      : undefined;
    throw failure(to, `cannot write ${name}: ${describeErrno(errno)}`, "copy-failed", hint, error);
  }
}

function inode({ dev, ino }: Status): string {
  return `${dev} ${ino}`;
}

/** Returns the filter of entries that are not copied: devices from a container, and the copy itself. */
function omission(
  { fd, name }: { fd: number; name: string },
  from: Side,
  to: Side,
  containers: string,
  leftOut: string[],
): TreeOptions["omit"] {
  const folder = inode(statusAt(fd));
  const own = to.root && !from.root ? inode(statusAt(AT_FDCWD, `${containers}/${to.root.record.id}`)) : undefined;
  const devices: number[] = to.root && !from.root ? [] : [S_IF.CHR, S_IF.BLK];
  return (child, status, parent, path) => {
    const type = status.mode & S_IF.MT, itself = type === S_IF.DIR ? inode(status) : undefined;
    if (devices.includes(type)) return leftOut.push(child || path) > 0;
    if (itself === undefined || !parent) return false;
    return itself === own || (name === "" ? itself === folder : child === name && inode(parent) === folder);
  };
}

async function copyTree(source: Source, from: Side, to: Side, path: string, containers: string, options: CopyOptions) {
  const target = openTarget(to, path);
  using _ = new Fd(target.fd);
  try {
    const placement = placeCopy(source, target);
    if ("refusal" in placement) {
      const [why, hint] = REFUSALS[placement.refusal];
      throw failure(to, `${quoteName(path)}: ${why}`, placement.refusal, hint);
    }
    const { name } = placement, leftOut: string[] = [];
    const omit = omission({ fd: target.fd, name }, from, to, containers, leftOut);
    const onLeftOut = (gone: string): void => void leftOut.push(gone);
    const parts = readTree(source.fd, { name, omit, onLeftOut });
    const copied = await arrive(from, to, options, (how) => writeTree(parts, target.fd, how, options.signal));
    return { ...copied, leftOut };
  } catch (error) {
    throw error instanceof SystemError ? failure(from, error.message, "copy-failed", undefined, error) : error;
  }
}

async function withSide<T>(
  containers: string,
  { container }: FilePlace,
  access: "read" | "write",
  work: (side: Side) => Promise<T>,
): Promise<T> {
  if (container === undefined) return await work(HOST);
  return await withRoot(containers, container, access, (root) => work(inside(root)));
}

/** Opens both sides: of one container together, of two containers in a fixed order, to avoid deadlocks. */
async function withSides<T>(
  containers: string,
  from: FilePlace,
  to: FilePlace,
  work: (from: Side, to: Side) => Promise<T>,
): Promise<T> {
  const [source, target] = [from, to].map(({ container }) => container && findContainer(containers, container).id);
  if (source && source === target) return await withSide(containers, to, "write", (side) => work(side, side));
  const first = (): Promise<T> =>
    withSide(containers, from, "read", (from) => withSide(containers, to, "write", (to) => work(from, to)));
  const second = (): Promise<T> =>
    withSide(containers, to, "write", (to) => withSide(containers, from, "read", (from) => work(from, to)));
  return await (source && target && target < source ? second() : first());
}

/**
 * Copies a file, a directory or a link, by the rules of `docker cp`.
 *
 * @throws {InputError} for paths on the host, and {@linkcode ContainerError} for those in containers: `file-not-found`,
 *   `no-folder`, `not-a-folder`, `folder-onto-file`, `special-file`, `occupied`, `file-made-up`, `open-failed`, `copy-failed`.
 */
export async function copyFiles(
  containers: string,
  from: FilePlace,
  to: FilePlace,
  options: CopyOptions = {},
): Promise<CopyResult> {
  return await withSides(containers, from, to, async (source, target) => {
    const opened = openSource(source, from.path, options.followLink ?? false);
    using _ = new Fd(opened.fd);
    return await copyTree(opened, source, target, to.path, containers, options);
  });
}

/** Unpacks a tar archive, compressed or not, into a directory of a container. Throws as {@linkcode copyFiles}. */
export async function unpackInto(
  containers: string,
  archive: ByteSource,
  to: FilePlace,
  options: CopyOptions = {},
): Promise<CopyResult> {
  return await withSide(containers, to, "write", async (side) => {
    using folder = new Fd(openFolder(side, to.path));
    const chunks = untilAborted(decompress(archive), options.signal);
    return { ...await arrive(HOST, side, options, (how) => unpack(chunks, folder.number, how)), leftOut: [] };
  });
}

/**
 * Runs `work` on a tar archive of a path in a container; with `oneMount`, without mounts in it. Throws as
 * {@linkcode copyFiles}.
 */
export async function withArchive<T>(
  containers: string,
  from: FilePlace,
  options: CopyOptions & Pick<TreeOptions, "oneMount">,
  work: (archive: AsyncIterable<Uint8Array<ArrayBuffer>>) => Promise<T>,
): Promise<T> {
  return await withSide(containers, from, "read", async (side) => {
    const { fd, name, contents } = openSource(side, from.path, options.followLink ?? false);
    using _ = new Fd(fd);
    return await work(
      joined(archiveTree(fd, { name: contents ? "" : name, oneMount: options.oneMount }), options.signal),
    );
  });
}
