/**
 * What a container has changed in the files of its image: the upper folder of its overlay beside the image's own,
 * walked by descriptor.
 *
 * @module
 */

import { flags } from "../../ffi/flags.ts";
import { AT_FDCWD, close, getXattr, openAt, readNames, S_IF, type Status, statusAt } from "../../ffi/fs.ts";
import { ContainerError } from "../errors.ts";
import { quoteName } from "../image/tar_entry.ts";
import { failedWith, openDirectory } from "../image/tree.ts";
import { sameXattrs } from "./attributes.ts";
import { mergeChanges } from "./merge_changes.ts";
import { findContainer } from "./names.ts";
import { tmpfsTarget, volumeTarget } from "./parse.ts";
import type { ContainerRecord } from "./record.ts";
import { openImage } from "./view.ts";

/** What kind of file something is. */
export type FileKind = "file" | "folder" | "link" | "fifo" | "socket" | "character device" | "block device";

/** What a file is, without what is in it. */
export interface FileState {
  /** What kind of file it is. */
  readonly type: FileKind;
  /** Its permission bits, with set-user-id, set-group-id and sticky (07777). */
  readonly mode: number;
  /** The owner's user id. */
  readonly uid: number;
  /** The owner's group id. */
  readonly gid: number;
  /** Its size in bytes; of a folder 0. */
  readonly size: number;
}

/** One change. */
export interface Change {
  /** What was done. A folder that was added or deleted stands for what was in it; added files in it are listed too. */
  readonly kind: "added" | "changed" | "deleted";
  /** The absolute path. Bytes that are no UTF-8 are lone surrogates, U+DC80 to U+DCFF. */
  readonly path: string;
  /** What it was, unless it was added. */
  readonly before?: FileState;
  /** What it is, unless it was deleted. */
  readonly after?: FileState;
}

const KINDS: Readonly<Record<number, FileKind>> = {
  [S_IF.REG]: "file",
  [S_IF.DIR]: "folder",
  [S_IF.LNK]: "link",
  [S_IF.IFO]: "fifo",
  [S_IF.SOCK]: "socket",
  [S_IF.CHR]: "character device",
  [S_IF.BLK]: "block device",
};
const MAX_DEPTH = 500;
/** What every container has something mounted on. */
const MOUNT_POINTS = ["/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

/** What a status says of a file. */
export function stateOf({ mode, uid, gid, size }: Status): FileState {
  const type = KINDS[mode & S_IF.MT] ?? "file";
  return { type, mode: mode & 0o7777, uid, gid, size: type === "folder" ? 0 : size };
}

/** The status of a name in an open folder; undefined if nothing is there. */
export function lookUp(folder: number | undefined, name: string): Status | undefined {
  if (folder === undefined) return undefined;
  try {
    return statusAt(folder, name);
  } catch (error) {
    if (failedWith(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Paths that may have been made only to mount something on them, and the folders above them. */
function mountPoints({ options: { volumes = [], tmpfs = [], cwd = "/" } }: ContainerRecord): ReadonlySet<string> {
  const targets = [
    ...volumes.map(volumeTarget),
    ...tmpfs.map(tmpfsTarget),
  ];
  return new Set([...MOUNT_POINTS, ...targets, cwd].flatMap((path) => {
    const parts = path.split("/").filter((part) => part !== "" && part !== ".");
    return parts.map((_, i) => `/${parts.slice(0, i + 1).join("/")}`);
  }));
}

function isWhiteout({ mode, rdev }: Status): boolean {
  return (mode & S_IF.MT) === S_IF.CHR && rdev === "0:0";
}

function sameOwnerAndMode(one: Status, other: Status): boolean {
  return one.mode === other.mode && one.uid === other.uid && one.gid === other.gid;
}

function overlayMark(fd: number, name: string): string {
  return String.fromCharCode(...getXattr(fd, `trusted.overlay.${name}`) ?? []);
}

/** The names in an open folder that are not among `names`. */
function hiddenIn(folder: number, names: ReadonlySet<string>): Set<string> {
  const fd = openDirectory(folder, ".");
  try {
    return new Set(readNames(fd).filter((name) => !names.has(name)));
  } finally {
    close(fd);
  }
}

function deleted(path: string, before: Status | undefined): Change[] {
  return before ? [{ kind: "deleted", path, before: stateOf(before) }] : [];
}

function walk(record: ContainerRecord, upper: number, image: number): Change[] {
  const mounted = mountPoints(record);

  /** What was only made to mount something on it. */
  function isOurs(path: string, status: Status, before: Status | undefined, changes: readonly Change[]): boolean {
    if (!mounted.has(path) || status.uid !== 0 || status.gid !== 0) return false;
    const type = status.mode & S_IF.MT, mode = status.mode & 0o7777;
    if (type === S_IF.DIR) return !before && mode === 0o755 && changes.length === 0;
    const replaced = before && (before.mode & S_IF.MT) !== S_IF.LNK;
    return type === S_IF.REG && mode === 0o644 && status.size === 0 && !replaced;
  }

  /** The changes in one folder, and whether it holds what is only mounted on. */
  function inFolder(above: number, below: number | undefined, path: string, depth: number) {
    if (depth > MAX_DEPTH) {
      throw new ContainerError(`the folders of the container are nested too deep: ${quoteName(path)}`, {
        code: "too-deep",
        facts: { path },
      });
    }
    const changes: Change[] = [];
    let ours = false;
    const names = readNames(above);
    const hidden = below !== undefined && overlayMark(above, "opaque") === "y"
      ? hiddenIn(below, new Set(names))
      : new Set<string>();
    for (const name of [...names, ...hidden].sort()) {
      const found = hidden.has(name)
        ? deleted(`${path}/${name}`, lookUp(below, name))
        : atName(above, below, `${path}/${name}`, name, depth);
      if (found === "ours") ours = true;
      else changes.push(...found);
    }
    return { changes, ours };
  }

  function folder(
    parent: number,
    below: number | undefined,
    { path, name, depth, status, before }: {
      path: string;
      name: string;
      depth: number;
      status: Status;
      before?: Status;
    },
  ): Change[] | "ours" {
    let fd = -1, lower = -1;
    try {
      fd = openDirectory(parent, name);
      const both = below !== undefined && before !== undefined && (before.mode & S_IF.MT) === S_IF.DIR;
      if (both) lower = openDirectory(below, name);
      if (overlayMark(fd, "redirect") !== "") {
        throw new ContainerError(
          `the container's ${quoteName(path)} is elsewhere in its image: overlayfs redirects it`,
          {
            code: "overlay-redirect",
            facts: { path },
          },
        );
      }
      const { changes, ours } = inFolder(fd, both ? lower : undefined, path, depth + 1);
      const after = stateOf(status);
      if (!before) return isOurs(path, status, before, changes) ? "ours" : [{ kind: "added", path, after }, ...changes];
      const same = both && changes.length === 0 && sameOwnerAndMode(status, before) && sameXattrs(fd, lower) &&
        (ours || status.mtime === before.mtime);
      return same ? [] : [{ kind: "changed", path, before: stateOf(before), after }, ...changes];
    } finally {
      close(fd);
      close(lower);
    }
  }

  function atName(
    parent: number,
    below: number | undefined,
    path: string,
    name: string,
    depth: number,
  ): Change[] | "ours" {
    const status = lookUp(parent, name), before = lookUp(below, name);
    if (!status) return [];
    if (isWhiteout(status)) return deleted(path, before);
    try {
      if ((status.mode & S_IF.MT) === S_IF.DIR) return folder(parent, below, { path, name, depth, status, before });
    } catch (error) {
      // It is gone since, or something else: the container runs.
      if (!failedWith(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
      return [];
    }
    if (isOurs(path, status, before, [])) return "ours";
    const after = stateOf(status);
    return [before ? { kind: "changed", path, before: stateOf(before), after } : { kind: "added", path, after }];
  }

  return inFolder(upper, image, "", 0).changes;
}

function withFolders<T>(upper: number, image: number, work: (upper: number, image: number) => T): T {
  const top = openDirectory(upper, ".");
  try {
    return work(top, image);
  } finally {
    close(top);
    close(image);
  }
}

function openUpper(path: string): number {
  return openAt(AT_FDCWD, path, flags("O", "RDONLY", "DIRECTORY", "NOFOLLOW"));
}

/** What one folder changes in those that lie below it. */
function changesIn(record: ContainerRecord, folder: string, upper: string, lower: readonly string[]): Change[] {
  const fd = openUpper(upper);
  try {
    return withFolders(fd, openImage(folder, lower), (above, below) => walk(record, above, below));
  } finally {
    close(fd);
  }
}

/**
 * What a container, which must not be started meanwhile, has changed in its image's files, by path.
 *
 * @throws {ContainerError} `view-failed`, `too-deep`, `overlay-redirect`, `changes-unknown`.
 */
export function changesOfRecord(containers: string, record: ContainerRecord): Change[] {
  const folder = `${containers}/${record.id}`, { layers = [], lower } = record;
  const uppers = [`${folder}/upper`, ...layers];
  // From the lowest layer on: each changes what those below it have made of the image.
  return uppers.map((upper, i) => changesIn(record, folder, upper, [...layers.slice(i), ...lower])).reverse()
    .reduce(mergeChanges);
}

/**
 * What the container that `query` names has changed in its image's files, by path; folders stand before what is in them.
 * What is mounted in it does not count, nor what was made to mount it on. It may run.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, and those of {@linkcode changesOfRecord}.
 */
export function changesOf(containers: string, query: string): Change[] {
  return changesOfRecord(containers, findContainer(containers, query));
}

/** Runs `work` on an open descriptor of all that a container has changed, for reading what was added or changed. */
export async function withChanged<T>(
  containers: string,
  record: ContainerRecord,
  work: (changed: number) => T | Promise<T>,
): Promise<T> {
  const folder = `${containers}/${record.id}`, { layers = [] } = record;
  const fd = layers.length === 0 ? openUpper(`${folder}/upper`) : openImage(folder, [`${folder}/upper`, ...layers]);
  try {
    return await work(fd);
  } finally {
    close(fd);
  }
}
