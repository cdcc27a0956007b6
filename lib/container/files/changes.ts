/**
 * What a container has changed in the files of its image: the upper folder of its overlay beside the image's own,
 * walked by descriptor.
 *
 * @module
 */

import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt, readNames, S_IF, type Status, statusAt } from "../../../ffi/fs/fs.ts";
import { getXattr } from "../../../ffi/fs/xattrs.ts";
import { ContainerError } from "../../errors.ts";
import { quoteName } from "../../tar/entry.ts";
import { descend } from "../../tar/descent.ts";
import { failedWith, openDirectory } from "../../tar/tree.ts";
import { sameXattrs } from "./attributes.ts";
import { mergeChanges } from "./merge_changes.ts";
import { findContainer } from "../state/names.ts";
import { tmpfsTarget, volumeTarget } from "../spec/parse.ts";
import type { ContainerRecord } from "../state/record.ts";
import { openImage } from "./rootfs_mount.ts";

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
const MAX_DEPTH = 10_000;
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

/** A folder that is being looked through, and what came of it so far. */
interface Visit {
  readonly path: string;
  readonly status: Status;
  /** What is below it there. */
  readonly before?: Status;
  /** Whether the image has a folder there, too. */
  readonly both: boolean;
  /** The names in it, from the last to the first. */
  readonly names: string[];
  /** Names of the image that it hides. */
  readonly hidden: ReadonlySet<string>;
  /** Where its own change has its place. */
  readonly place: number;
  /** How many changes there were before it. */
  readonly earlier: number;
  /** Whether it holds what is only mounted on. */
  ours: boolean;
}

/** Looks through `upper` and the folders of `image` with the same names, without recursion and with few descriptors. */
function walk(record: ContainerRecord, upper: number, image: number): Change[] {
  const mounted = mountPoints(record), longest = Math.max(...mounted.values().map((path) => path.length));
  const visits: Visit[] = [], found: (Change | undefined)[] = [];
  const above = descend(upper), below = descend(image);
  let count = 0;

  /** What was only made to mount something on it. */
  function isOurs(path: string, status: Status, before: Status | undefined, changes: number): boolean {
    if (path.length > longest || !mounted.has(path) || status.uid !== 0 || status.gid !== 0) return false;
    const type = status.mode & S_IF.MT, mode = status.mode & 0o7777;
    if (type === S_IF.DIR) return !before && mode === 0o755 && changes === 0;
    const replaced = before && (before.mode & S_IF.MT) !== S_IF.LNK;
    return type === S_IF.REG && mode === 0o644 && status.size === 0 && !replaced;
  }

  function put(change: Change, place = found.length): undefined {
    found[place] = change;
    count++;
  }

  function deleted(path: string, before: Status | undefined): undefined {
    if (before) put({ kind: "deleted", path, before: stateOf(before) });
  }

  /** Goes on in the folder `name`, which the way is open on. */
  function begin(path: string, status: Status, before: Status | undefined, both: boolean): void {
    const names = readNames(above.fd());
    const hidden = both && overlayMark(above.fd(), "opaque") === "y"
      ? hiddenIn(below.fd(), new Set(names))
      : new Set<string>();
    const all = hidden.size > 0 ? [...names, ...hidden] : names;
    const place = found.push(undefined) - 1;
    visits.push({
      path,
      status,
      before,
      both,
      names: all.sort().reverse(),
      hidden,
      place,
      earlier: count,
      ours: false,
    });
  }

  function enter(
    path: string,
    name: string,
    status: Status,
    before: Status | undefined,
    inBoth: boolean,
  ): undefined {
    if (visits.length > MAX_DEPTH) {
      throw new ContainerError(`the folders of the container are nested too deep: ${quoteName(path)}`, {
        code: "too-deep",
        facts: { path },
      });
    }
    const both = inBoth && before !== undefined && (before.mode & S_IF.MT) === S_IF.DIR;
    const fd = openDirectory(above.fd(), name);
    try {
      if (overlayMark(fd, "redirect") !== "") {
        throw new ContainerError(
          `the container's ${quoteName(path)} is elsewhere in its image: overlayfs redirects it`,
          { code: "overlay-redirect", facts: { path } },
        );
      }
      if (both) below.enter(name, openDirectory(below.fd(), name));
    } catch (error) {
      close(fd);
      throw error;
    }
    above.enter(name, fd);
    try {
      begin(path, status, before, both);
    } catch (error) {
      above.leave();
      if (both) below.leave();
      throw error;
    }
  }

  function atName({ path: folder, both }: Visit, name: string): "ours" | undefined {
    const path = `${folder}/${name}`;
    const status = lookUp(above.fd(), name), before = both ? lookUp(below.fd(), name) : undefined;
    if (!status) return;
    if (isWhiteout(status)) return deleted(path, before);
    if ((status.mode & S_IF.MT) === S_IF.DIR) return enter(path, name, status, before, both);
    if (isOurs(path, status, before, 0)) return "ours";
    const after = stateOf(status);
    put(before ? { kind: "changed", path, before: stateOf(before), after } : { kind: "added", path, after });
  }

  /** Puts what a folder itself has changed, before what is in it. Returns whether it was only made to mount on it. */
  function end({ path, status, before, both, place, earlier, ours }: Visit): "ours" | undefined {
    const changes = count - earlier, after = stateOf(status);
    if (!before) {
      if (isOurs(path, status, before, changes)) return "ours";
      return put({ kind: "added", path, after }, place);
    }
    const same = both && changes === 0 && sameOwnerAndMode(status, before) && sameXattrs(above.fd(), below.fd()) &&
      (ours || status.mtime === before.mtime);
    if (!same) put({ kind: "changed", path, before: stateOf(before), after }, place);
  }

  /** What it is, unless it is gone since, or something else: the container runs. */
  function unlessGone(work: () => "ours" | undefined): "ours" | undefined {
    try {
      return work();
    } catch (error) {
      if (!failedWith(error, "ENOENT", "ENOTDIR", "ELOOP", "ESTALE")) throw error;
    }
  }

  try {
    const status = statusAt(upper);
    begin("", status, status, true);
    for (let visit = visits.at(-1); visit; visit = visits.at(-1)) {
      const { names, hidden, path } = visit, name = names.pop();
      if (name !== undefined) {
        if (hidden.has(name)) deleted(`${path}/${name}`, lookUp(below.fd(), name));
        else if (unlessGone(() => atName(visit, name)) === "ours") visit.ours = true;
        continue;
      }
      const parent = visits.at(-2);
      if (parent && unlessGone(() => end(visit)) === "ours") parent.ours = true;
      visits.pop();
      if (!parent) break;
      above.leave();
      if (visit.both) below.leave();
    }
  } finally {
    above.reset();
    below.reset();
  }
  return found.filter((change) => change !== undefined);
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
