/**
 * The walk through a container's upper directory that finds its changes, by descriptor.
 *
 * @module
 */

import { close, readNames, S_IF, type Status, statusAt } from "../../../ffi/fs/fs.ts";
import { getXattr } from "../../../ffi/fs/xattrs.ts";
import { Fd } from "../../../ffi/fs/fd.ts";
import { ContainerError } from "../../errors.ts";
import { quoteName } from "../../tar/entry.ts";
import { descend, type Descent } from "../../tar/descent.ts";
import { failedWith, openDirectory } from "../../tar/tree.ts";
import { sameXattrs } from "./attributes.ts";
import type { Change } from "./changes.ts";
import { lookUp, stateOf } from "./file_state.ts";
import { tmpfsTarget, volumeTarget } from "../spec/parse.ts";
import type { ContainerRecord } from "../state/record.ts";

const MAX_DEPTH = 10_000;
/** Mount points of every container. */
const MOUNT_POINTS = ["/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

/** Returns paths that may have been created only as mount points, and their parents. */
function mountPoints({ options: { volumes = [], tmpfs = [], cwd = "/" } }: ContainerRecord): ReadonlySet<string> {
  const targets = [...volumes.map(volumeTarget), ...tmpfs.map(tmpfsTarget)];
  return new Set([...MOUNT_POINTS, ...targets, cwd].flatMap((path) => {
    const parts = path.split("/").filter((part) => part !== "" && part !== ".");
    return parts.map((_, i) => `/${parts.slice(0, i + 1).join("/")}`);
  }));
}

function typeOf({ mode }: Status): number {
  return mode & S_IF.MT;
}

function isWhiteout(status: Status): boolean {
  return typeOf(status) === S_IF.CHR && status.rdev === "0:0";
}

function sameOwnerAndMode(one: Status, other: Status): boolean {
  return one.mode === other.mode && one.uid === other.uid && one.gid === other.gid;
}

function overlayMark(fd: number, name: string): string {
  return String.fromCharCode(...getXattr(fd, `trusted.overlay.${name}`) ?? []);
}

/** Returns the names in an open directory that are not among `names`. */
function hiddenIn(directory: number, names: ReadonlySet<string>): Set<string> {
  using fd = new Fd(openDirectory(directory, "."));
  return new Set(readNames(fd.number).filter((name) => !names.has(name)));
}

/** Runs `work`; returns undefined if the file is gone or replaced meanwhile, as in a running container. */
function unlessGone<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (!failedWith(error, "ENOENT", "ENOTDIR", "ELOOP", "ESTALE")) throw error;
  }
}

/** A directory on the way, and its changes so far. */
interface Visit {
  readonly path: string;
  readonly status: Status;
  /** Its status in the image. */
  readonly before?: Status;
  /** Whether the image has a directory there, too. */
  readonly both: boolean;
  /** Names that are left, from the last to the first. */
  readonly names: string[];
  /** Names of the image that an opaque directory hides. */
  readonly hidden: ReadonlySet<string>;
  /** The index of its own change. */
  readonly place: number;
  /** The number of changes before it. */
  readonly earlier: number;
  /** Whether it holds a mount point. */
  mounts: boolean;
}

/** The walk, without recursion and with a bounded number of descriptors. Steps return true for a mere mount point. */
class Walk {
  readonly #mounted: ReadonlySet<string>;
  readonly #longest: number;
  readonly #above: Descent;
  readonly #below: Descent;
  readonly #visits: Visit[] = [];
  readonly #found: (Change | undefined)[] = [];
  #count = 0;

  constructor(record: ContainerRecord, upper: number, image: number) {
    this.#mounted = mountPoints(record);
    this.#longest = Math.max(...this.#mounted.values().map((path) => path.length));
    this.#above = descend(upper);
    this.#below = descend(image);
  }

  #isMountPoint(path: string, status: Status, before: Status | undefined, changes = 0): boolean {
    if (path.length > this.#longest || !this.#mounted.has(path) || status.uid !== 0 || status.gid !== 0) return false;
    const type = typeOf(status), mode = status.mode & 0o7777;
    if (type === S_IF.DIR) return !before && mode === 0o755 && changes === 0;
    const replaced = before && typeOf(before) !== S_IF.LNK;
    return type === S_IF.REG && mode === 0o644 && status.size === 0 && !replaced;
  }

  #put(change: Change, place = this.#found.length): void {
    this.#found[place] = change;
    this.#count++;
  }

  #putDeleted(path: string, before: Status | undefined): void {
    if (before) this.#put({ kind: "deleted", path, before: stateOf(before) });
  }

  #putPresent(path: string, status: Status, before: Status | undefined, place?: number): void {
    const after = stateOf(status);
    if (before) this.#put({ kind: "changed", path, before: stateOf(before), after }, place);
    else this.#put({ kind: "added", path, after }, place);
  }

  /** Begins the directory that the descents have entered. */
  #begin(path: string, status: Status, before: Status | undefined, both: boolean): void {
    const names = readNames(this.#above.fd());
    const isOpaque = both && overlayMark(this.#above.fd(), "opaque") === "y";
    const hidden = isOpaque ? hiddenIn(this.#below.fd(), new Set(names)) : new Set<string>();
    const place = this.#found.push(undefined) - 1;
    const all = [...names, ...hidden].sort().reverse();
    this.#visits.push({ path, status, before, both, names: all, hidden, place, earlier: this.#count, mounts: false });
  }

  #enter(path: string, name: string, status: Status, before: Status | undefined): void {
    if (this.#visits.length > MAX_DEPTH) {
      throw new ContainerError(`cannot compare ${quoteName(path)}: directories nested too deep`, {
        code: "too-deep",
        facts: { path },
      });
    }
    const both = before !== undefined && typeOf(before) === S_IF.DIR;
    const fd = openDirectory(this.#above.fd(), name);
    try {
      if (overlayMark(fd, "redirect") !== "") {
        throw new ContainerError(`cannot compare ${quoteName(path)}: overlayfs redirects it to another directory`, {
          code: "overlay-redirect",
          facts: { path },
        });
      }
      if (both) this.#below.enter(name, openDirectory(this.#below.fd(), name));
    } catch (error) {
      close(fd);
      throw error;
    }
    this.#above.enter(name, fd);
    try {
      this.#begin(path, status, before, both);
    } catch (error) {
      this.#leave(both);
      throw error;
    }
  }

  #leave(both: boolean): void {
    this.#above.leave();
    if (both) this.#below.leave();
  }

  #compare({ path: parent, both, hidden }: Visit, name: string): boolean {
    const path = `${parent}/${name}`, before = both ? lookUp(this.#below.fd(), name) : undefined;
    const status = hidden.has(name) ? undefined : lookUp(this.#above.fd(), name);
    if (hidden.has(name) || status && isWhiteout(status)) this.#putDeleted(path, before);
    else if (status && typeOf(status) === S_IF.DIR) this.#enter(path, name, status, before);
    else if (status && this.#isMountPoint(path, status, before)) return true;
    else if (status) this.#putPresent(path, status, before);
    return false;
  }

  /** Puts the change of a directory itself before those of its content. */
  #end({ path, status, before, both, place, earlier, mounts }: Visit): boolean {
    const changes = this.#count - earlier;
    if (!before && this.#isMountPoint(path, status, before, changes)) return true;
    const same = before && both && changes === 0 && sameOwnerAndMode(status, before) &&
      sameXattrs(this.#above.fd(), this.#below.fd()) && (mounts || status.mtime === before.mtime);
    if (!same) this.#putPresent(path, status, before, place);
    return false;
  }

  /** Returns the changes, directories before their content. */
  run(top: Status): Change[] {
    try {
      this.#begin("", top, top, true);
      for (let visit = this.#visits.at(-1); visit; visit = this.#visits.at(-1)) {
        const current = visit, name = current.names.pop();
        if (name !== undefined) {
          if (unlessGone(() => this.#compare(current, name))) current.mounts = true;
          continue;
        }
        const parent = this.#visits.at(-2);
        if (parent && unlessGone(() => this.#end(current))) parent.mounts = true;
        this.#visits.pop();
        if (parent) this.#leave(current.both);
      }
    } finally {
      this.#above.reset();
      this.#below.reset();
    }
    return this.#found.filter((change) => change !== undefined);
  }
}

/** Returns the changes of the open directory `upper` relative to `image`. */
export function walkChanges(record: ContainerRecord, upper: number, image: number): Change[] {
  return new Walk(record, upper, image).run(statusAt(upper));
}
