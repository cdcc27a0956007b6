/**
 * The way down into a tree of any depth, with a bounded number of open directories: those near the end stay open, and
 * one here and there above them, from which the others are opened again by their names when the way leads back.
 *
 * @module
 */

import { errnoNumber } from "../../ffi/errno.ts";
import { close, statusAt, SystemError } from "../../ffi/fs/fs.ts";
import { openDirectory } from "./tree.ts";

/** How many directories near the end stay open, and of which number above them each one does. */
const NEAR = 64;

interface Level {
  readonly name: string;
  /** -1 while it is closed. */
  fd: number;
  /** Device and inode of the directory that was open, to detect a replaced one. */
  inode?: string;
}

/** Directories, each in the one before. */
export interface Descent {
  /** How many there are below the top. */
  readonly depth: number;
  /**
   * The descriptor of the last one. Throws {@linkcode SystemError}: `ESTALE` if another directory has its place now, `ENOENT`
   * if none has.
   */
  fd(): number;
  /** Goes on into `name`, which `fd` is open on; it will be closed. */
  enter(name: string, fd: number): void;
  /** Goes back by one. */
  leave(): void;
  /** Goes back to the top. */
  reset(): void;
}

function inodeOf(fd: number): string {
  const { dev, ino } = statusAt(fd);
  return `${dev} ${ino}`;
}

/** Starts at the directory that `top` is open on, which stays open. */
export function descend(top: number): Descent {
  const levels: Level[] = [];

  function closeFar(): void {
    const far = levels.length - 1 - NEAR, level = levels[far];
    if (!level || level.fd < 0 || far % NEAR === 0) return;
    level.inode = inodeOf(level.fd);
    close(level.fd);
    level.fd = -1;
  }

  function reopen(): void {
    const open = levels.findLastIndex(({ fd }) => fd >= 0);
    let above = levels[open]?.fd ?? top;
    for (const level of levels.slice(open + 1)) {
      level.fd = openDirectory(above, level.name);
      if (inodeOf(level.fd) !== level.inode) {
        close(level.fd);
        level.fd = -1;
        throw new SystemError("openat", level.name, errnoNumber("ESTALE"));
      }
      above = level.fd;
    }
  }

  function leave(): void {
    const level = levels.pop();
    if (level && level.fd >= 0) close(level.fd);
  }

  return {
    get depth() {
      return levels.length;
    },
    fd() {
      if ((levels.at(-1)?.fd ?? top) < 0) reopen();
      return levels.at(-1)?.fd ?? top;
    },
    enter(name, fd) {
      levels.push({ name, fd });
      closeFar();
    },
    leave,
    reset() {
      while (levels.length > 0) leave();
    },
  };
}

/** Keeps the way to the last path, so that its neighbours are near. */
export interface Walker {
  /** The descriptor of the directory at the first `depth` components of `path`; the walker closes it. */
  enter(path: readonly string[], depth: number): number;
  /** Closes all. */
  reset(): void;
}

/** Walks below `root`; `open` opens (or makes) one directory, given its parent's descriptor, its name and its depth. */
export function walker(root: number, open: (parent: number, name: string, depth: number) => number): Walker {
  const way = descend(root), names: string[] = [];
  const leave = (depth: number): void => {
    while (way.depth > depth) way.leave();
    names.length = Math.min(names.length, depth);
  };
  return {
    enter(path, depth) {
      let same = 0;
      while (same < names.length && same < depth && names[same] === path[same]) same++;
      leave(same);
      for (let i = same; i < depth; i++) {
        const name = path[i] ?? "";
        way.enter(name, open(way.fd(), name, i + 1));
        names.push(name);
      }
      return way.fd();
    },
    reset: () => leave(0),
  };
}
