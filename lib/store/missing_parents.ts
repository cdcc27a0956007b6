/**
 * Directories that layers only imply: a layer with `a/b` and without an entry for `a`. In overlayfs' form it must have an `a`,
 * which would hide mode, owner and times of the `a` below it. As that depends on the layers below, and layers are shared,
 * an image gets one more layer on top, of nothing but such directories as they should be:
 *
 *     layers/iHEX20/diff       it; the first 20 digits of the digest of the image's configuration
 *     layers/iHEX20            alone where nothing is hidden
 *
 * @module
 */

import {
  AT_FDCWD,
  chmod,
  chownAt,
  close,
  mkdirAt,
  openBelow,
  readNames,
  type Status,
  statusAt,
  utimesAt,
} from "../../ffi/fs/fs.ts";
import { getXattr, listXattrs, setXattr } from "../../ffi/fs/xattrs.ts";
import { Fd } from "../../ffi/fs/fd.ts";
import { flags } from "../../ffi/program/flags.ts";
import { breather } from "../host/breath.ts";
import { impliedFolder, layerFolder, readLayer } from "./layer_paths.ts";
import { lockFolder, TEMPORARY } from "./locked_directory.ts";
import { type ImageDocuments, isReadOnly } from "./store.ts";
import { failedWith, openDirectory, removeTree } from "../tar/tree.ts";
import { isKept } from "../tar/entry_attributes.ts";

type Breathe = ReturnType<typeof breather>;
type Xattrs = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

/** Attributes of a directory. */
interface Attributes extends Pick<Status, "mode" | "uid" | "gid" | "mtime"> {
  readonly xattrs: Xattrs;
}

/** A directory that a layer implies, or one on the way to such. */
interface Folder {
  readonly path: string;
  readonly parent?: Folder;
  /** Those in it, by name. */
  readonly children: Map<string, Folder>;
  /** The layers that imply it, by number. */
  readonly impliedBy: Set<number>;
  /** Whether it can hide something: whether another layer than the lowest implies it. */
  hides: boolean;
  /** Attributes in the uppermost layer, which overlayfs shows. */
  shown?: Attributes;
  /** Attributes in the uppermost layer whose archive has an entry for it, which should be shown. */
  meant?: Attributes;
  /** Whether lower layers are hidden here (`closed`), or below it only. */
  closed: boolean;
  closedWithin: boolean;
  /** Whether it is to be created. */
  wanted: boolean;
}

const FOLDER = flags("O", "RDONLY", "DIRECTORY", "NOFOLLOW");
const OPAQUE = ["trusted.overlay.opaque", "user.overlay.opaque"];
/** With more directories than this to look for in one, its names are read. */
const FEW = 16;

function newFolder(path: string, parent?: Folder): Folder {
  return {
    path,
    ...(parent ? { parent } : {}),
    children: new Map(),
    impliedBy: new Set(),
    hides: false,
    closed: false,
    closedWithin: false,
    wanted: false,
  };
}

function componentsOf(path: string): string[] {
  return path === "" ? [] : path.split("/");
}

function attributesOf(fd: number): Attributes {
  const { mode, uid, gid, mtime } = statusAt(fd);
  const xattrs = listXattrs(fd).filter(isKept).map((name) => [name, getXattr(fd, name) ?? new Uint8Array()] as const);
  return { mode: mode & 0o7777, uid, gid, mtime, xattrs: new Map(xattrs) };
}

function asText({ mode, uid, gid, mtime, xattrs }: Attributes, isTop: boolean): string {
  // The top's time changes whenever a container is made.
  const parts = [
    mode,
    uid,
    gid,
    isTop ? 0n : mtime,
    ...[...xattrs].sort().map(([name, value]) => name + value.toHex()),
  ];
  return parts.join();
}

/** Opens a directory in the directory `fd`; "other" if something else is there. */
function openFolder(fd: number, name: string): number | "other" | undefined {
  try {
    return openDirectory(fd, name);
  } catch (error) {
    if (failedWith(error, "ENOENT")) return undefined;
    // Whiteouts too, which are devices.
    if (failedWith(error, "ENOTDIR", "ELOOP")) return "other";
    throw error;
  }
}

/** Returns the directories to look for in a directory of a layer, without those that are surely not there. */
function* candidates(fd: number, { children, closedWithin }: Folder): Generator<[string, Folder]> {
  if (closedWithin) return;
  const open = [...children].filter(([, child]) => !child.closed);
  const there = open.length > FEW ? new Set(readNames(fd)) : undefined;
  for (const [name, child] of open) if (!there || there.has(name)) yield [name, child];
}

/** Notes what one layer has of the directories; the layers above it have been looked at. Each of its directories is opened once. */
async function lookAt(layer: number, diff: string, top: Folder, breathe: Breathe): Promise<void> {
  const open: { fd: number; folder: Folder; rest: Iterator<[string, Folder]> }[] = [];
  const enter = (fd: number, folder: Folder): void => {
    open.push({ fd, folder, rest: candidates(fd, folder) });
    const attributes = attributesOf(fd);
    folder.shown ??= attributes;
    if (!folder.impliedBy.has(layer)) folder.meant ??= attributes;
  };
  try {
    enter(openDirectory(AT_FDCWD, diff), top);
    for (let last = open.at(-1); last; last = open.at(-1)) {
      await breathe();
      const next = last.rest.next();
      if (next.done) {
        // One that is opaque hides what is in the directory below it, and not what that is.
        if (OPAQUE.some((xattr) => getXattr(last.fd, xattr) !== undefined)) last.folder.closedWithin = true;
        open.pop();
        close(last.fd);
        continue;
      }
      const [name, child] = next.value, fd = openFolder(last.fd, name);
      if (fd === "other") child.closed = true;
      else if (fd !== undefined) enter(fd, child);
    }
  } finally {
    for (const { fd } of open) close(fd);
  }
}

function addFolder(top: Folder, path: string): Folder {
  let folder = top;
  for (const name of componentsOf(path)) {
    const child = folder.children.get(name) ?? newFolder(folder === top ? name : `${folder.path}/${name}`, folder);
    folder.children.set(name, child);
    folder = child;
  }
  return folder;
}

/** Returns all directories that layers imply, given as paths for each layer; the top has them below it. */
function impliedFolders(implied: readonly (readonly string[])[]): Folder {
  const top = newFolder(""), lowest = implied.length - 1;
  for (const [layer, paths] of implied.entries()) {
    for (const path of paths) {
      const folder = addFolder(top, path);
      folder.impliedBy.add(layer);
      folder.hides ||= layer !== lowest;
    }
  }
  return top;
}

/** Returns the directories that are hidden, and those on the way to them, with what they should be, from the top down. */
async function hidden(store: string, { config }: ImageDocuments, breathe: Breathe): Promise<Map<string, Attributes>> {
  // A layer that is there twice hides all of itself.
  const diffIds = [...new Set(config.rootfs.diff_ids.toReversed())];
  const top = impliedFolders(diffIds.map((diffId) => readLayer(store, diffId)?.implied ?? []));
  for (const [layer, diffId] of diffIds.entries()) {
    await lookAt(layer, `${layerFolder(store, diffId)}/diff`, top, breathe);
  }
  const all: Folder[] = [top], found = new Map<string, Attributes>();
  for (const folder of all) {
    for (const child of folder.children.values()) all.push(child);
    const { shown, meant = shown, hides } = folder, isTop = folder === top;
    if (!hides || !shown || !meant || asText(shown, isTop) === asText(meant, isTop)) continue;
    for (let one: Folder | undefined = folder; one && !one.wanted; one = one.parent) one.wanted = true;
  }
  for (const { wanted, path, shown, meant = shown } of all) if (wanted && meant) found.set(path, meant);
  return found;
}

/** Makes directories below another; those above come before those in them. */
async function makeFolders(diff: string, folders: ReadonlyMap<string, Attributes>, breathe: Breathe): Promise<void> {
  const top = openDirectory(AT_FDCWD, diff);
  const within = (path: string, use: (fd: number) => void): void => {
    using directory = new Fd(openBelow(top, path || ".", FOLDER));
    use(directory.number);
  };
  try {
    for (const path of folders.keys()) {
      const at = path.lastIndexOf("/");
      if (path !== "") within(path.slice(0, Math.max(at, 0)), (fd) => mkdirAt(fd, path.slice(at + 1), 0o700));
      await breathe();
    }
    for (const [path, { mode, uid, gid, mtime, xattrs }] of [...folders].reverse()) {
      within(path, (fd) => {
        if (Deno.uid() === 0) chownAt(fd, "", uid, gid);
        chmod(fd, mode);
        for (const [name, value] of xattrs) setXattr(fd, name, value);
        utimesAt(fd, "", mtime);
      });
      await breathe();
    }
  } finally {
    close(top);
  }
}

function isThere(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Makes what an image needs because of directories that its layers imply, unless it is there. Its layers must be unpacked. */
export async function ensureParentDirLayer(
  store: string,
  documents: ImageDocuments,
  signal?: AbortSignal,
): Promise<void> {
  const breathe = breather(signal);
  const folder = impliedFolder(store, documents);
  const name = `.${folder.slice(folder.lastIndexOf("/") + 1)}${TEMPORARY}`, temporary = `${store}/layers/${name}`;
  const locked = await lockFolder(temporary, () => isThere(folder)).catch(async (error) => {
    // On a read-only file system the layer may not be needed.
    if (!isReadOnly(error) || (await hidden(store, documents, breathe)).size > 0) throw error;
  });
  if (locked === undefined) return;
  try {
    if (isThere(folder)) return removeTree(AT_FDCWD, temporary);
    const diff = `${temporary}/diff`;
    removeTree(AT_FDCWD, diff);
    const folders = await hidden(store, documents, breathe);
    // An overlay wants something below it.
    if (folders.size > 0 || documents.manifest.layers.length === 0) {
      await Deno.mkdir(diff, { mode: 0o755 });
      await makeFolders(diff, folders, breathe);
    }
    await Deno.rename(temporary, folder);
  } catch (error) {
    removeTree(AT_FDCWD, temporary);
    throw error;
  } finally {
    close(locked);
  }
}
