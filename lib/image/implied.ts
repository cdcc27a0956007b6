/**
 * Folders that layers only imply: a layer with `a/b` and without an entry for `a`. In overlayfs' form it must have an `a`,
 * which would hide mode, owner and times of the `a` below it. As that depends on the layers below, and layers are shared,
 * an image gets one more layer on top, of nothing but such folders as they should be:
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
  getXattr,
  listXattrs,
  mkdirAt,
  S_IF,
  setXattr,
  type Status,
  statusAt,
  utimesAt,
} from "../../ffi/fs.ts";
import { impliedFolder, layerFolder, readLayer } from "./layer_folders.ts";
import { lockFolder, TEMPORARY } from "./locked_folder.ts";
import { type ImageDocuments, isReadOnly } from "./store.ts";
import { failedWith, openDirectory, removeTree } from "./tree.ts";
import { isKept } from "./entry_attributes.ts";

type Xattrs = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

/** What a folder is, besides what is in it. */
interface Attributes extends Pick<Status, "mode" | "uid" | "gid" | "mtime"> {
  readonly xattrs: Xattrs;
}

/** An unpacked layer. */
interface Layer {
  /** A descriptor of its top. */
  readonly top: number;
  /** The folders that it implies; the top is the empty one. */
  readonly implied: ReadonlySet<string>;
}

/** What a layer has at a path, and whether layers below it count there. */
interface Found {
  readonly folder?: Attributes;
  readonly last: boolean;
}

const OPAQUE = ["trusted.overlay.opaque", "user.overlay.opaque"];

function componentsOf(path: string): string[] {
  return path === "" ? [] : path.split("/");
}

function attributesOf(fd: number): Attributes {
  const { mode, uid, gid, mtime } = statusAt(fd);
  const xattrs = listXattrs(fd).filter(isKept).map((name) => [name, getXattr(fd, name) ?? new Uint8Array()] as const);
  return { mode: mode & 0o7777, uid, gid, mtime, xattrs: new Map(xattrs) };
}

function look(top: number, path: string): Found {
  let fd = openDirectory(top, "."), last = false;
  try {
    for (const name of componentsOf(path)) {
      // One that is opaque itself hides what is in the folder below it, and not what that is.
      const above = fd;
      last ||= OPAQUE.some((xattr) => getXattr(above, xattr) !== undefined);
      let below: number;
      try {
        if ((statusAt(fd, name).mode & S_IF.MT) !== S_IF.DIR) return { last: true };
        below = openDirectory(fd, name);
      } catch (error) {
        if (failedWith(error, "ENOENT")) return { last };
        throw error;
      }
      close(fd);
      fd = below;
    }
    return { folder: attributesOf(fd), last };
  } finally {
    close(fd);
  }
}

/** What overlayfs shows at a path, and what it should: the uppermost folder that an archive has an entry for. */
function compare(layers: readonly Layer[], path: string): { shown?: Attributes; meant?: Attributes } {
  let shown: Attributes | undefined;
  for (const { top, implied } of layers) {
    const { folder, last } = look(top, path);
    shown ??= folder;
    if (folder && !implied.has(path)) return { shown, meant: folder };
    if (last) break;
  }
  return { shown, meant: shown };
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

/** The folders that are hidden, and those on the way to them, with what they should be, from the top down. */
function hidden(layers: readonly Layer[]): Map<string, Attributes> {
  const paths = new Set<string>();
  for (const path of layers.slice(0, -1).flatMap(({ implied }) => [...implied])) {
    const { shown, meant } = compare(layers, path);
    if (!shown || !meant || asText(shown, path === "") === asText(meant, path === "")) continue;
    const parts = componentsOf(path);
    for (let depth = 0; depth <= parts.length; depth++) paths.add(parts.slice(0, depth).join("/"));
  }
  const inOrder = [...paths].sort();
  return new Map(inOrder.flatMap((path) => {
    const { meant } = compare(layers, path);
    return meant ? [[path, meant]] : [];
  }));
}

function inFolder(top: number, path: readonly string[], use: (fd: number) => void): void {
  let fd = openDirectory(top, ".");
  try {
    for (const name of path) {
      const below = openDirectory(fd, name);
      close(fd);
      fd = below;
    }
    use(fd);
  } finally {
    close(fd);
  }
}

function makeFolders(diff: string, folders: ReadonlyMap<string, Attributes>): void {
  const top = openDirectory(AT_FDCWD, diff);
  try {
    for (const path of folders.keys()) {
      const parts = componentsOf(path), name = parts.pop();
      if (name !== undefined) inFolder(top, parts, (fd) => mkdirAt(fd, name, 0o700));
    }
    for (const [path, { mode, uid, gid, mtime, xattrs }] of [...folders].reverse()) {
      inFolder(top, componentsOf(path), (fd) => {
        if (Deno.uid() === 0) chownAt(fd, "", uid, gid);
        chmod(fd, mode);
        for (const [name, value] of xattrs) setXattr(fd, name, value);
        utimesAt(fd, "", mtime);
      });
    }
  } finally {
    close(top);
  }
}

function withLayers<T>(store: string, { config }: ImageDocuments, work: (layers: readonly Layer[]) => T): T {
  const layers: Layer[] = [];
  try {
    for (const diffId of config.rootfs.diff_ids.toReversed()) {
      const implied = new Set(readLayer(store, diffId)?.implied);
      layers.push({ top: openDirectory(AT_FDCWD, `${layerFolder(store, diffId)}/diff`), implied });
    }
    return work(layers);
  } finally {
    for (const { top } of layers) close(top);
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

/** Makes what an image needs because of folders that its layers imply, unless it is there. Its layers must be unpacked. */
export async function ensureImplied(store: string, documents: ImageDocuments): Promise<void> {
  const folder = impliedFolder(store, documents);
  const name = `.${folder.slice(folder.lastIndexOf("/") + 1)}${TEMPORARY}`, temporary = `${store}/layers/${name}`;
  const locked = await lockFolder(temporary, () => isThere(folder)).catch((error) => {
    // Where nothing can be made, nothing may have to be.
    if (!isReadOnly(error) || withLayers(store, documents, hidden).size > 0) throw error;
  });
  if (locked === undefined) return;
  try {
    if (isThere(folder)) return removeTree(AT_FDCWD, temporary);
    const diff = `${temporary}/diff`;
    removeTree(AT_FDCWD, diff);
    const folders = withLayers(store, documents, hidden);
    // An overlay wants something below it.
    if (folders.size > 0 || documents.manifest.layers.length === 0) {
      await Deno.mkdir(diff, { mode: 0o755 });
      makeFolders(diff, folders);
    }
    await Deno.rename(temporary, folder);
  } catch (error) {
    removeTree(AT_FDCWD, temporary);
    throw error;
  } finally {
    close(locked);
  }
}
