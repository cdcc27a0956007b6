/**
 * Plan of `apply`: the changes to write to the host, and conflicts with changes on the host.
 *
 * @module
 */

import { read, readLinkAt, readNames, S_IF, type Status, statusAt, SystemError } from "../../../ffi/fs/fs.ts";
import { getXattr } from "../../../ffi/fs/xattrs.ts";
import { InputError } from "../../errors.ts";
import { descend } from "../../tar/descent.ts";
import { failedWith, isSpecial, openDirectory } from "../../tar/tree.ts";
import { atPlace, inFolder, splitPath, withContent } from "./apply_write.ts";
import { sameXattrs } from "./attributes.ts";
import type { Change } from "./changes.ts";
import { lookUp } from "./file_state.ts";

/** A conflict of a change with the host. */
export interface Conflict {
  /** The absolute path. */
  readonly path: string;
  /** The reason, such as `changed on the host meanwhile`. */
  readonly reason: string;
  /** Whether `force` overrides it. */
  readonly forcible: boolean;
}

/** Plan of `apply`. */
export interface ApplyPlan {
  /** The changes to write, by path, without those that the host has already. */
  readonly changes: readonly Change[];
  /** The conflicts. */
  readonly conflicts: readonly Conflict[];
  /** Changes below /dev, /proc, /run and /sys, which are never written. */
  readonly leftOut: readonly string[];
}

const OWN = ["/dev", "/proc", "/run", "/sys"];
const CHUNK = 1 << 18;

function isIn(path: string, folder: string): boolean {
  return folder === "/" || path === folder || path.startsWith(`${folder}/`);
}

function isFolder({ mode }: Status): boolean {
  return (mode & S_IF.MT) === S_IF.DIR;
}

function clean(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (path.startsWith("/") && !parts.includes("..")) return `/${parts.join("/")}`;
  throw new InputError(`invalid path ${JSON.stringify(path)}: it must be absolute and without ..`, {
    code: "bad-path",
    facts: { path },
    hint: "use a path such as /etc/app.conf",
  });
}

/** Returns whether `change` creates a directory. */
function makesFolder({ before, after }: Change): boolean {
  return after?.type === "folder" && before?.type !== "folder";
}

/**
 * Returns the changes below `paths`, or all, with the directories they need.
 *
 * @throws {InputError} `bad-path`; `no-change` for a path without changes.
 */
export function chooseChanges(changes: readonly Change[], paths: readonly string[]): Change[] {
  const wanted = paths.length > 0 ? paths.map(clean) : ["/"];
  const missing = paths.length > 0 && wanted.find((path) => !changes.some((change) => isIn(change.path, path)));
  if (missing) {
    throw new InputError(`no changes at ${missing}`, {
      code: "no-change",
      facts: { path: missing },
      hint: "list changes with sauropod diff",
    });
  }
  return changes.filter((change) =>
    wanted.some((path) => isIn(change.path, path) || makesFolder(change) && isIn(path, change.path))
  );
}

function sameContent(one: number, other: number): boolean {
  const a = new Uint8Array(CHUNK), b = new Uint8Array(CHUNK);
  const fill = (fd: number, buffer: Uint8Array<ArrayBuffer>): number => {
    let filled = 0;
    for (let n = 1; n > 0 && filled < CHUNK; filled += n) n = read(fd, buffer.subarray(filled));
    return filled;
  };
  for (;;) {
    const n = fill(one, a), m = fill(other, b);
    if (n !== m || a.subarray(0, n).some((byte, i) => byte !== b[i])) return false;
    if (n < CHUNK) return true;
  }
}

/** Returns whether two files are equal, except their times; directories are compared without content. */
function same(one: number, a: Status, other: number, b: Status): boolean {
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid) return false;
  const type = a.mode & S_IF.MT;
  if (type === S_IF.LNK) return readLinkAt(one, "") === readLinkAt(other, "");
  if (type !== S_IF.REG && type !== S_IF.DIR) return a.rdev === b.rdev;
  if (type === S_IF.REG && a.size !== b.size) return false;
  return withContent(
    one,
    a,
    (x) => withContent(other, b, (y) => sameXattrs(x, y) && (type === S_IF.DIR || sameContent(x, y))),
  );
}

/** Returns whether a file below an open directory has changed since `time`, or is a mount point. */
function changedInside(folder: number, time: bigint, mount: number): boolean {
  const way = descend(folder), left = [readNames(folder)];
  try {
    for (let names = left.at(-1); names; names = left.at(-1)) {
      const name = names.pop();
      if (name === undefined) {
        left.pop();
        way.leave();
        continue;
      }
      const status = lookUp(way.fd(), name);
      if (!status) continue;
      if (status.ctime > time || status.mount !== mount) return true;
      if (!isFolder(status)) continue;
      way.enter(name, openDirectory(way.fd(), name));
      left.push(readNames(way.fd()));
    }
    return false;
  } finally {
    way.reset();
  }
}

/** Obstacles on the way to a file of the host, by error code. */
const OBSTACLES: Readonly<Record<string, string>> = {
  ELOOP: "a parent directory is a symbolic link on the host",
  EXDEV: "another file system is mounted over it on the host",
  ENOENT: "its directory is missing on the host",
  ENOTDIR: "its parent is no longer a directory on the host",
};

const SPECIAL = "a device, FIFO or socket on the host is not replaced";

type Verdict = "write" | "nothing" | Omit<Conflict, "path">;

const forcible = (reason: string): Verdict => ({ reason, forcible: true });
const impossible = (reason: string): Verdict => ({ reason, forcible: false });

function judge(change: Change, upper: number, machine: number, since: bigint, made: ReadonlySet<string>): Verdict {
  const { kind, path } = change, [folder, name] = splitPath(path), { mount } = statusAt(machine);

  function newer(parent: number, status: Status): boolean {
    if (status.ctime > since) return true;
    return isFolder(status) &&
      atPlace(parent, name, (fd) => withContent(fd, status, (open) => changedInside(open, since, mount)));
  }

  /** Returns whether overlayfs has copied it up, so that it is a change of a file of the image. */
  function isCopiedUp(): boolean {
    return inFolder(upper, folder, (above) =>
      atPlace(above, name, (place, status) => {
        const type = status.mode & S_IF.MT;
        if (type !== S_IF.REG && type !== S_IF.DIR) return kind === "changed";
        return withContent(place, status, (fd) => getXattr(fd, "trusted.overlay.origin") !== undefined);
      }));
  }

  function withThere(parent: number, there: Status): Verdict {
    if (there.mount !== mount) return impossible(OBSTACLES.EXDEV ?? "");
    const special = isSpecial(there);
    if (kind === "deleted" && special) return impossible(SPECIAL);
    if (kind === "deleted") return newer(parent, there) ? forcible("changed on the host meanwhile") : "write";
    return inFolder(upper, folder, (above) =>
      atPlace(above, name, (ours, status) =>
        atPlace(parent, name, (theirs) => {
          if (same(ours, status, theirs, there)) return "nothing";
          if (special) return impossible(SPECIAL);
          if (kind === "added") return forcible("exists on the host already");
          const bothFolders = isFolder(status) && isFolder(there);
          const changed = bothFolders ? there.ctime > since : newer(parent, there);
          return changed ? forcible("changed on the host meanwhile") : "write";
        })));
  }

  try {
    return inFolder(machine, folder, (parent) => {
      const there = lookUp(parent, name);
      if (there) return withThere(parent, there);
      if (kind === "deleted") return "nothing";
      return isCopiedUp() ? forcible("removed on the host meanwhile") : "write";
    });
  } catch (error) {
    const obstacle = error instanceof SystemError && OBSTACLES[error.code];
    if (!obstacle) throw error;
    if (made.has(`/${folder}`) && error.code !== "EXDEV") return "write";
    if (kind === "deleted" && failedWith(error, "ENOENT", "ENOTDIR")) return "nothing";
    return impossible(obstacle);
  }
}

/**
 * Compares `changes` of a container with the host, by descriptor: in the container's `upper` directory, and below
 * `machine` without following symbolic links.
 *
 * @param since Creation time of the container in nanoseconds since the epoch: later changes are conflicts.
 */
export function planApply(changes: readonly Change[], upper: number, machine: number, since: bigint): ApplyPlan {
  const written: Change[] = [], conflicts: Conflict[] = [], leftOut: string[] = [], made = new Set<string>();
  for (const change of changes) {
    const { path } = change;
    if (OWN.some((folder) => isIn(path, folder))) {
      leftOut.push(path);
      continue;
    }
    const verdict = judge(change, upper, machine, since, made);
    if (verdict === "nothing") continue;
    if (verdict !== "write") conflicts.push({ path, ...verdict });
    written.push(change);
    if (makesFolder(change)) made.add(path);
  }
  return { changes: written, conflicts, leftOut };
}
