/**
 * Image archives: `NAME.tar`, `.tar.gz`, `.tgz` or `.tar.zst` of a root file system, unpacked once into a store.
 * The store holds `NAME@FINGERPRINT/rootfs`, and while one is being unpacked `.NAME@FINGERPRINT.tmp`, locked.
 *
 * @module
 */

import { AT_FDCWD, close, openAt, statusAt } from "../../ffi/fs/fs.ts";
import { flags } from "../../ffi/program/flags.ts";
import { lazy } from "../lazy.ts";
import { ImageError, messageOf } from "../errors.ts";
import { explainDiskFull } from "../store/enospc.ts";
import { readImageFile } from "./image_file.ts";
import { lockFolder, sweep, TEMPORARY } from "../store/locked_directory.ts";
import { keepPrivate } from "../store/store.ts";
import { archiveName, listImages, storeOf } from "./resolve.ts";
import { failedWith, openDirectory, removeTree } from "../tar/tree.ts";

/** Identifies one state of a file without reading it: size, time and inode. */
function fingerprint(path: string): string {
  let fd;
  try {
    fd = openAt(AT_FDCWD, path, flags("O", "PATH"));
  } catch (error) {
    throw new ImageError(`cannot open the archive: ${messageOf(error)}`, {
      code: "image-not-found",
      facts: { archive: path },
      cause: error,
    });
  }
  try {
    const { size, mtime, ino } = statusAt(fd);
    return [size, mtime, ino].map((part) => part.toString(36)).join("-");
  } finally {
    close(fd);
  }
}

function entryName(path: string): string {
  return `${archiveName(path) ?? path.slice(path.lastIndexOf("/") + 1)}@${fingerprint(path)}`;
}

function isThere(path: string): boolean {
  try {
    statusAt(AT_FDCWD, path);
    return true;
  } catch (error) {
    if (failedWith(error, "ENOENT", "ENOTDIR")) return false;
    throw error;
  }
}

/**
 * Returns the directory that the archive was unpacked to, if it was and the archive has not changed since. Synchronous and cheap.
 * Throws {@linkcode ImageError} `image-not-found` if there is no archive.
 */
export function findUnpacked(archivePath: string, storeFolder: string): string | undefined {
  const rootfs = `${storeFolder}/${entryName(archivePath)}/rootfs`;
  keepPrivate(storeFolder);
  return isThere(rootfs) ? rootfs : undefined;
}

function holds(rootfs: string, file: string, text: string): boolean {
  try {
    return readImageFile([rootfs], file)?.includes(text) ?? false;
  } catch {
    // A directory or device of that name: an odd root file system, but one.
    return false;
  }
}

/** Rejects archives that `docker save` and OCI tools make: layers in an archive instead of files. */
function refuseLayout(rootfs: string): void {
  const layout = holds(rootfs, "oci-layout", "imageLayoutVersion");
  const manifest = holds(rootfs, "manifest.json", '"Layers"');
  if (!layout && !manifest) return;
  const kind = manifest ? "one of `docker save`" : "an OCI image layout";
  throw new ImageError(`the archive is ${kind}, not of a root file system`, {
    code: "archive-unsupported",
    hint: "use `docker export` of a container, which writes a root file system",
  });
}

async function unpackInto(temporary: string, archivePath: string, signal?: AbortSignal): Promise<void> {
  const rootfs = `${temporary}/rootfs`;
  if (isThere(rootfs)) removeTree(AT_FDCWD, rootfs);
  Deno.mkdirSync(rootfs, { mode: 0o755 });
  Deno.chmodSync(rootfs, 0o755);
  const before = fingerprint(archivePath);
  const root = openDirectory(AT_FDCWD, rootfs);
  try {
    // Loaded here only: most runs find their image unpacked.
    const [{ unpack }, { decompress }, { fileChunks }] = await Promise.all([
      lazy.unpack(),
      lazy.decompress(),
      lazy.chunks(),
    ]);
    const { entries } = await unpack(decompress(fileChunks(archivePath, signal)), root);
    if (entries === 0) throw new ImageError("the archive is empty", { code: "archive-malformed" });
  } finally {
    close(root);
  }
  if (fingerprint(archivePath) !== before) {
    throw new ImageError("the archive changed while it was read", { code: "archive-corrupt", hint: "try again" });
  }
  refuseLayout(rootfs);
}

function about(archivePath: string, error: unknown): unknown {
  if (!(error instanceof ImageError)) return error;
  const { code, hint, facts } = error;
  const details = { code, hint, facts: { ...facts, archive: archivePath }, cause: error };
  return new ImageError(`${archivePath}: ${error.message}`, details);
}

/**
 * Unpacks an archive into `<store>/<NAME>@<fingerprint>/rootfs`, unless that is done, and returns that directory. Whole or
 * not at all; processes that want the same wait for the first. What killed ones left is removed.
 *
 * Throws {@linkcode ImageError}: `image-not-found`, `archive-corrupt`, `archive-unsupported`, and those of
 * {@linkcode unpack}; `facts.archive` is the path. Throws the reason of `signal` if that is aborted.
 */
export async function unpackOnce(archivePath: string, storeFolder: string, signal?: AbortSignal): Promise<string> {
  const done = findUnpacked(archivePath, storeFolder);
  if (done !== undefined) return done;
  const entry = entryName(archivePath);
  const target = `${storeFolder}/${entry}`, rootfs = `${target}/rootfs`;
  const temporary = `.${entry}${TEMPORARY}`, temporaryPath = `${storeFolder}/${temporary}`;
  const isDone = (): boolean => {
    signal?.throwIfAborted();
    return isThere(rootfs);
  };
  const locked = await lockFolder(temporaryPath, isDone);
  if (locked === undefined) return rootfs;
  try {
    if (isThere(rootfs)) {
      removeTree(AT_FDCWD, temporaryPath);
      return rootfs;
    }
    sweep(storeFolder, temporary);
    await explainDiskFull(storeFolder, () => unpackInto(temporaryPath, archivePath, signal));
    Deno.renameSync(temporaryPath, target);
    return rootfs;
  } catch (error) {
    removeTree(AT_FDCWD, temporaryPath);
    throw about(archivePath, error);
  } finally {
    close(locked);
  }
}

/**
 * Returns the entries of the store that no archive of `archives` has any more, as absolute paths or as relative as the store's;
 * for a garbage collector, which must see that no container uses them. An archive that is gone counts as none.
 */
export function staleArchives(storeFolder: string, archives: Iterable<string>): string[] {
  const current = new Set<string>();
  for (const path of archives) if (isThere(path)) current.add(entryName(path));
  if (!isThere(storeFolder)) return [];
  const names = [...Deno.readDirSync(storeFolder)].map((entry) => entry.name);
  return names.filter((name) => name.includes("@") && !name.startsWith(".") && !current.has(name))
    .sort().map((name) => `${storeFolder}/${name}`);
}

/**
 * Removes what was unpacked from archives that have changed or are gone, unless a container uses it.
 *
 * @param used The directories that containers' images consist of.
 * @returns The directories removed.
 */
export function removeStaleArchives(imagesFolder: string, used: readonly string[]): string[] {
  const archives = listImages(imagesFolder).filter(({ kind }) => kind === "archive").map(({ path }) => path);
  const stale = staleArchives(storeOf(imagesFolder), archives);
  const unused = stale.filter((path) => !used.some((folder) => folder.startsWith(`${path}/`)));
  for (const path of unused) removeTree(AT_FDCWD, path);
  return unused;
}
