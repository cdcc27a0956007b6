/**
 * Copying files between containers, this machine and archives, as `docker cp` does. Both ends are descriptors: what a
 * container does to its paths meanwhile, and what its files are called, leads nowhere else.
 *
 * @module
 */

import { describeErrno } from "../../../ffi/errno.ts";
import { AT_FDCWD, close, S_IF, type Status, statusAt, SystemError } from "../../../ffi/fs/fs.ts";
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

/** How to copy. */
export interface CopyOptions {
  /** Keep owners, set-user-id bits and extended attributes. Default: false, files belong to who they are copied to. */
  readonly archive?: boolean;
  /** If the source is a symbolic link, copy what it leads to. Default: false. */
  readonly followLink?: boolean;
  /** Gives up when aborted. */
  readonly signal?: AbortSignal;
}

/** What was copied. */
export interface CopyResult {
  /** Files, folders and links. */
  readonly entries: number;
  /** The bytes of the files without holes; those of an archive if that was copied. */
  readonly bytes: number;
  /** Names of what was left out: sockets; devices, unless this machine's go to a container; what was gone meanwhile. */
  readonly leftOut: readonly string[];
}

/** A file or folder: of a container, or of this machine. */
export interface FilePlace {
  /** A container's name or id. Default: it is this machine's. */
  readonly container?: string;
  /** The path; in a container it begins at its root. */
  readonly path: string;
}

const SET_IDS = 0o6000;
// What a file tree holds is bounded by itself.
const NO_LIMITS = { entries: Infinity, bytes: Infinity, fileSize: Infinity };

const REFUSALS: Readonly<Record<Refusal, readonly [why: string, hint: string]>> = {
  "no-folder": ["there is no folder", "make it first, or leave out the / at the end"],
  "not-a-folder": ["there is no folder, but a file", "leave out the / at the end"],
  "special-file": [
    "there is a device, FIFO or socket, which is not replaced",
    "name a file or a folder, or - for an archive on standard output",
  ],
  "folder-onto-file": ["a folder cannot be copied onto a file", "name another destination"],
};

/** What becomes of an entry that arrives: whose it is, and what it may do. */
function arrival(to: Side, { archive = false }: CopyOptions): ((entry: TarEntry) => TarEntry) | undefined {
  if (archive) return undefined;
  const owner = to.root ? { uid: 0, gid: 0 } : { uid: Deno.uid() ?? 0, gid: Deno.gid() ?? 0 };
  const none = new Map();
  // As with chown(2): who may act as a file's owner was decided by another owner.
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

/** Runs `write`, which fills an open folder; what fails is told as a copy's failure. */
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
      ? "it is mounted read-only there"
      : code === "EBUSY"
      ? "something is mounted on it there, which is not replaced"
      : undefined;
    throw failure(to, `${name} cannot be written: ${describeErrno(errno)}`, "copy-failed", hint, error);
  }
}

function inode({ dev, ino }: Status): string {
  return `${dev} ${ino}`;
}

/** What of a source is not copied: devices that came from a container, and the copy itself. */
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
  } finally {
    close(target.fd);
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

/** Opens both sides; those of one container together, and those of two always in the same order. */
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
 * Copies a file, a folder or a link, by the rules of `docker cp`.
 *
 * @throws {InputError} for paths of this machine, and {@linkcode ContainerError} for those of containers: `file-not-found`,
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
    try {
      return await copyTree(opened, source, target, to.path, containers, options);
    } finally {
      close(opened.fd);
    }
  });
}

/** Unpacks a tar archive, perhaps compressed, in a folder of a container. Throws what {@linkcode copyFiles} throws. */
export async function unpackInto(
  containers: string,
  archive: ByteSource,
  to: FilePlace,
  options: CopyOptions = {},
): Promise<CopyResult> {
  return await withSide(containers, to, "write", async (side) => {
    const fd = openFolder(side, to.path);
    try {
      const chunks = untilAborted(decompress(archive), options.signal);
      return { ...await arrive(HOST, side, options, (how) => unpack(chunks, fd, how)), leftOut: [] };
    } finally {
      close(fd);
    }
  });
}

/**
 * Runs `work` on a tar archive of a file or folder of a container; with `oneMount`, without what is mounted in it. Throws
 * what {@linkcode copyFiles} throws.
 */
export async function withArchive<T>(
  containers: string,
  from: FilePlace,
  options: CopyOptions & Pick<TreeOptions, "oneMount">,
  work: (archive: AsyncIterable<Uint8Array<ArrayBuffer>>) => Promise<T>,
): Promise<T> {
  return await withSide(containers, from, "read", async (side) => {
    const { fd, name, contents } = openSource(side, from.path, options.followLink ?? false);
    try {
      return await work(
        joined(archiveTree(fd, { name: contents ? "" : name, oneMount: options.oneMount }), options.signal),
      );
    } finally {
      close(fd);
    }
  });
}
