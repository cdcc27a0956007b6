/**
 * Atomic writes of changed files (apply): each is created under a temporary name in its directory, and renamed.
 *
 * @module
 */

import { Fd } from "../../../ffi/fs/fd.ts";
import { flags } from "../../../ffi/program/flags.ts";
import {
  AT_FDCWD,
  linkAt,
  mkdirAt,
  openAt,
  openBelow,
  readLinkAt,
  readNames,
  renameAt,
  S_IF,
  type Status,
  statusAt,
  unlinkAt,
  utimesAt,
} from "../../../ffi/fs/fs.ts";
import { randomBytes } from "../../../ffi/process/random.ts";
import { descend } from "../../tar/descent.ts";
import { failedWith, openDirectory, removeEntry } from "../../tar/tree.ts";
import { copyXattrs } from "./attributes.ts";
import { copyAttributes, copyFile, copySpecial } from "./copy_node.ts";

const FOLDER = flags("O", "RDONLY", "DIRECTORY"), PLACE = flags("O", "PATH", "NOFOLLOW");
const CONTENT = flags("O", "RDONLY", "NONBLOCK", "NOCTTY");

/** Splits an absolute path into its directory, relative to the root, and its last component. */
export function splitPath(path: string): [folder: string, name: string] {
  const at = path.lastIndexOf("/");
  return [path.slice(1, at) || ".", path.slice(at + 1)];
}

/** Runs `use` on an open directory below `root`; symbolic links on the way are errors. */
export function inFolder<T>(root: number, folder: string, use: (fd: number) => T): T {
  using fd = new Fd(openBelow(root, folder, FOLDER));
  return use(fd.number);
}

/** Runs `use` on `name` in an open directory, opened with `O_PATH`. */
export function atPlace<T>(folder: number, name: string, use: (fd: number, status: Status) => T): T {
  using fd = new Fd(openAt(folder, name, PLACE));
  return use(fd.number, statusAt(fd.number));
}

/** Runs `use` on a regular file or a directory that is open with `O_PATH`, opened for reading. */
export function withContent<T>(place: number, { mode }: Status, use: (fd: number) => T): T {
  const isFolder = (mode & S_IF.MT) === S_IF.DIR;
  using fd = new Fd(isFolder ? openDirectory(place, ".") : openAt(AT_FDCWD, `/proc/self/fd/${place}`, CONTENT));
  return use(fd.number);
}

/** Creates a copy of `source` under the new name `name`; a directory is created empty. */
function make(source: number, status: Status, folder: number, name: string): void {
  const type = status.mode & S_IF.MT;
  if (type === S_IF.LNK) return copySpecial(readLinkAt(source, ""), folder, name, status);
  if (type !== S_IF.REG && type !== S_IF.DIR) return copySpecial(undefined, folder, name, status);
  withContent(source, status, (from) => {
    if (type === S_IF.REG) return copyFile(from, folder, name, status, copyXattrs);
    mkdirAt(folder, name, 0o700);
    using to = new Fd(openDirectory(folder, name));
    copyAttributes(from, to.number, status, copyXattrs);
    utimesAt(to.number, "", status.mtime);
  });
}

/** Removes a name with its content. Directories that are moved meanwhile do not lead out of the tree. */
function removeAll(folder: number, name: string): void {
  const way = descend(folder), left = [{ name: "", names: [name] }];
  try {
    for (let level = left.at(-1); level; level = left.at(-1)) {
      const child = level.names.pop();
      if (child === undefined) {
        left.pop();
        way.leave();
        if (left.length > 0) unlinkAt(way.fd(), level.name, true);
      } else if (removeEntry(way.fd(), child) === "full") {
        way.enter(child, openDirectory(way.fd(), child));
        left.push({ name: child, names: readNames(way.fd()) });
      }
    }
  } finally {
    way.reset();
  }
}

/** Calls `make` with a temporary name, and renames the result to `name`, replacing any file there. */
function putInPlace(folder: number, name: string, make: (temporary: string) => void): void {
  const temporary = `.sauropod-${randomBytes(8).toHex()}`;
  try {
    make(temporary);
    try {
      renameAt(folder, temporary, folder, name);
    } catch (error) {
      if (!failedWith(error, "EISDIR", "ENOTDIR", "ENOTEMPTY", "EEXIST")) throw error;
      renameAt(folder, temporary, folder, name, true);
    }
  } finally {
    // The replaced file, or the new one if rename failed.
    removeAll(folder, temporary);
  }
}

/** Writer of changes from one tree to another. */
export interface ChangeWriter {
  /** Copies `path` from the source with its content; a directory is created empty. */
  put(path: string): void;
  /** Copies owner, mode and extended attributes of the directory `path` from the source. */
  setAttributes(path: string): void;
  /** Removes `path` with its content. */
  remove(path: string): void;
  /** Restores the times of directories, which writing into them has changed. */
  finish(): void;
}

/** Returns a writer from the tree below `source` to that below `target`. Its methods throw `SystemError`. */
export function changeWriter(source: number, target: number): ChangeWriter {
  const linked = new Map<string, string>(), folders = new Map<string, bigint>();

  function link(first: string, folder: number, name: string): void {
    const [there, firstName] = splitPath(first);
    inFolder(target, there, (fd) => linkAt(fd, firstName, folder, name));
  }

  return {
    put(path) {
      const [folder, name] = splitPath(path);
      inFolder(source, folder, (from) =>
        atPlace(from, name, (place, status) =>
          inFolder(target, folder, (to) => {
            const inode = `${status.dev} ${status.ino}`, first = linked.get(inode);
            putInPlace(to, name, (temporary) => {
              if (first === undefined) make(place, status, to, temporary);
              else link(first, to, temporary);
            });
            if ((status.mode & S_IF.MT) === S_IF.DIR) folders.set(path, status.mtime);
            else if (status.nlink > 1) linked.set(inode, path);
          })));
    },
    setAttributes(path) {
      inFolder(
        source,
        path.slice(1),
        (from) => inFolder(target, path.slice(1), (to) => copyAttributes(from, to, statusAt(from), copyXattrs)),
      );
    },
    remove(path) {
      const [folder, name] = splitPath(path);
      inFolder(target, folder, (fd) => removeAll(fd, name));
    },
    finish() {
      for (const [path, mtime] of [...folders].reverse()) {
        inFolder(target, path.slice(1), (fd) => utimesAt(fd, "", mtime));
      }
    },
  };
}
