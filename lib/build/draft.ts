/**
 * Layers that are made without running anything: files are written on an image, and what has changed is packed. Paths
 * are resolved in the image, whatever its symbolic links say. The same files give the same layer.
 *
 * @module
 */

import { Fd } from "../../ffi/fs/fd.ts";
import { flags } from "../../ffi/program/flags.ts";
import {
  AT_FDCWD,
  chownAt,
  close,
  mkdirAt,
  openAt,
  openBelow,
  openIn,
  readLinkAt,
  S_IF,
  statusAt,
  utimesAt,
} from "../../ffi/fs/fs.ts";
import { openDraft, openImage } from "../container/files/rootfs_mount.ts";
import type { PackOptions } from "../store/pack_layer.ts";
import { layerOfFolder } from "../image/exchange/import.ts";
import type { Spool } from "../image/exchange/spool.ts";
import type { NewLayer } from "../image/exchange/write_image.ts";
import type { TarEntry } from "../tar/entry.ts";
import { failedWith, openDirectory, removeTree } from "../tar/tree.ts";

/** Files on an image that are being changed. */
export interface Draft {
  /** A descriptor of its top. */
  readonly top: number;
  /** Opens a directory, made with all those above it where it is missing. The caller closes it. */
  openFolder(path: string): number;
}

/** How to make a layer. */
export interface DraftOptions {
  /** The time of directories that are made on the way, in nanoseconds since the epoch. */
  readonly time: bigint;
  /** The latest time that anything has. Default: no limit. */
  readonly latest?: bigint;
  /** Owner of directories created on the way. Default: root. */
  readonly owner?: { readonly uid: number; readonly gid: number };
  /** Aborts the work. */
  readonly signal?: AbortSignal;
}

const FOLDER = flags("O", "RDONLY", "DIRECTORY"), PLACE = flags("O", "PATH", "NOFOLLOW");
const MAX_LINKS = 40;

/** Changes entries so that nothing is younger than `latest`. */
export function noLater(latest: bigint | undefined): Pick<PackOptions, "change"> {
  if (latest === undefined) return {};
  return { change: (entry) => entry.mtime > latest ? { ...entry, mtime: latest } : entry };
}

function linkAtName(parent: number, name: string): string | undefined {
  return (statusAt(parent, name).mode & S_IF.MT) === S_IF.LNK ? readLinkAt(parent, name) : undefined;
}

type Made = (fd: number) => void;

/** Opens a directory; hears of those that are made. */
function openFolderIn(top: number, path: string, made: Made, links = 0): number {
  try {
    return openIn(top, path || "/", FOLDER);
  } catch (error) {
    if (!failedWith(error, "ENOENT")) throw error;
  }
  const clean = path.replace(/\/+$/, ""), at = clean.lastIndexOf("/");
  const above = clean.slice(0, Math.max(at, 0)), name = clean.slice(at + 1);
  const parent = openFolderIn(top, above, made, links);
  try {
    mkdirAt(parent, name, 0o755);
    made(openDirectory(parent, name));
    return openDirectory(parent, name);
  } catch (error) {
    const link = failedWith(error, "EEXIST") && links < MAX_LINKS ? linkAtName(parent, name) : undefined;
    // A link to what is not there yet: that is what is to be made.
    if (link === undefined) throw error;
    return openFolderIn(top, link.startsWith("/") ? link : `${above}/${link}`, made, links + 1);
  } finally {
    close(parent);
  }
}

/** Returns the time that a directory had before something was put into it; undefined if it is new. */
function timeBefore(before: number, path: string): bigint | undefined {
  try {
    using file = new Fd(openBelow(before, path.replace(/\/$/, "") || ".", PLACE));
    const { mode, mtime } = statusAt(file.number);
    return (mode & S_IF.MT) === S_IF.DIR ? mtime : undefined;
  } catch (error) {
    if (failedWith(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
}

function entryOf(before: number, entry: TarEntry, { time, latest = entry.mtime }: DraftOptions): TarEntry {
  if (entry.type === "directory") {
    const mtime = entry.name === "./" ? time : timeBefore(before, entry.name) ?? entry.mtime;
    return { ...entry, mtime: mtime < latest ? mtime : latest };
  }
  return entry.mtime > latest ? { ...entry, mtime: latest } : entry;
}

function makeUpper(folder: string, [top]: readonly string[]): void {
  for (const name of ["", "/upper", "/work", "/nothing"]) Deno.mkdirSync(folder + name, { mode: 0o755 });
  if (top === undefined) return;
  using upper = new Fd(openAt(AT_FDCWD, `${folder}/upper`, FOLDER));
  const { mode, uid, gid } = Deno.statSync(top);
  chownAt(upper.number, "", uid ?? 0, gid ?? 0);
  Deno.chmodSync(`${folder}/upper`, (mode ?? 0o755) & 0o7777);
}

/** Makes a layer of what `work` changes in an image, whose directories are `lower`, uppermost first. */
export async function draftLayer(
  spool: Spool,
  lower: readonly string[],
  options: DraftOptions,
  work: (draft: Draft) => Promise<void>,
): Promise<NewLayer> {
  const folder = spool.newPath();
  makeUpper(folder, lower);
  // An overlay needs something to lie on.
  const below = lower.length > 0 ? lower : [`${folder}/nothing`];
  const before = openImage(folder, below);
  try {
    const top = openDraft(folder, below), made: number[] = [], { owner, time } = options;
    try {
      await work({
        top,
        openFolder: (path) =>
          openFolderIn(top, path, (fd) => {
            made.push(fd);
            if (owner) chownAt(fd, "", owner.uid, owner.gid);
          }),
      });
      // Creating files in them has changed their time.
      for (const fd of made) utimesAt(fd, "", time);
    } finally {
      for (const fd of [...made, top]) close(fd);
    }
    const change = (entry: TarEntry): TarEntry => entryOf(before, entry, options);
    return await layerOfFolder(spool, `${folder}/upper`, { change, signal: options.signal });
  } finally {
    close(before);
    removeTree(AT_FDCWD, folder);
  }
}
