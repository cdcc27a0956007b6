/**
 * Writing one changed file or folder to a tree, so that it is there whole or not at all: it is made under another name
 * in the same folder, and renamed.
 *
 * @module
 */

import { extentsOf, seekTo } from "../../../ffi/fs/extents.ts";
import { flags } from "../../../ffi/program/flags.ts";
import {
  AT_FDCWD,
  chmod,
  chmodAt,
  chownAt,
  close,
  linkAt,
  mkdirAt,
  mknodAt,
  openAt,
  openBelow,
  read,
  readLinkAt,
  readNames,
  renameAt,
  S_IF,
  type Status,
  statusAt,
  symlinkAt,
  unlinkAt,
  utimesAt,
  writeAll,
} from "../../../ffi/fs/fs.ts";
import { randomBytes } from "../../../ffi/process/random.ts";
import { descend } from "../../tar/descent.ts";
import { failedWith, openDirectory, removeEntry } from "../../tar/tree.ts";
import { copyXattrs } from "./attributes.ts";

const FOLDER = flags("O", "RDONLY", "DIRECTORY"), PLACE = flags("O", "PATH", "NOFOLLOW");
const CONTENT = flags("O", "RDONLY", "NONBLOCK", "NOCTTY");
const NEW_FILE = flags("O", "WRONLY", "CREAT", "EXCL", "NOFOLLOW");
const CHUNK = 1 << 20;

/** The folder that an absolute path is in, relative to the top, and the last component. */
export function splitPath(path: string): [folder: string, name: string] {
  const at = path.lastIndexOf("/");
  return [path.slice(1, at) || ".", path.slice(at + 1)];
}

/** Runs `use` on an open folder below `root`, which is named without symbolic links. */
export function inFolder<T>(root: number, folder: string, use: (fd: number) => T): T {
  const fd = openBelow(root, folder, FOLDER);
  try {
    return use(fd);
  } finally {
    close(fd);
  }
}

/** Runs `use` on what `name` in an open folder is, open with `O_PATH`. */
export function atPlace<T>(folder: number, name: string, use: (fd: number, status: Status) => T): T {
  const fd = openAt(folder, name, PLACE);
  try {
    return use(fd, statusAt(fd));
  } finally {
    close(fd);
  }
}

/** Runs `use` on the content of a regular file, or on a folder, that is open with `O_PATH`. */
export function withContent<T>(place: number, { mode }: Status, use: (fd: number) => T): T {
  const isFolder = (mode & S_IF.MT) === S_IF.DIR;
  const fd = isFolder ? openDirectory(place, ".") : openAt(AT_FDCWD, `/proc/self/fd/${place}`, CONTENT);
  try {
    return use(fd);
  } finally {
    close(fd);
  }
}

function copyContent(from: number, to: number, size: number): void {
  const buffer = new Uint8Array(CHUNK);
  for (const [offset, length] of extentsOf(from, size)) {
    seekTo(from, offset);
    seekTo(to, offset);
    for (let left = length; left > 0;) {
      const n = read(from, buffer.subarray(0, Math.min(left, CHUNK)));
      if (n === 0) break;
      writeAll(to, buffer.subarray(0, n));
      left -= n;
    }
  }
  if (statusAt(to).size !== size) Deno.truncateSync(`/proc/self/fd/${to}`, size);
}

/** Gives the open file or folder `to` owner, mode and extended attributes of `from`. Changing the owner clears bits. */
function copyAttributes(from: number, to: number, { uid, gid, mode }: Status): void {
  chownAt(to, "", uid | 0, gid | 0);
  chmod(to, mode & 0o7777);
  copyXattrs(from, to);
}

/** Makes a copy of `source` called `name`, which is free. Folders are made empty. */
function make(source: number, status: Status, folder: number, name: string): void {
  const { mode, uid, gid, mtime } = status, type = mode & S_IF.MT;
  if (type === S_IF.REG || type === S_IF.DIR) {
    withContent(source, status, (from) => {
      if (type === S_IF.DIR) mkdirAt(folder, name, 0o700);
      const to = type === S_IF.DIR ? openDirectory(folder, name) : openAt(folder, name, NEW_FILE, 0o600);
      try {
        if (type === S_IF.REG) copyContent(from, to, status.size);
        copyAttributes(from, to, status);
        utimesAt(to, "", mtime);
      } finally {
        close(to);
      }
    });
    return;
  }
  const [major, minor] = status.rdev.split(":").map(Number);
  if (type === S_IF.LNK) symlinkAt(readLinkAt(source, ""), folder, name);
  else mknodAt(folder, name, mode & ~0o7777 | 0o600, major, minor);
  chownAt(folder, name, uid | 0, gid | 0);
  if (type !== S_IF.LNK) chmodAt(folder, name, mode & 0o7777);
  utimesAt(folder, name, mtime);
}

/** Removes a name with all that is in it. Whoever moves folders meanwhile leads it nowhere else. */
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

/** Calls `make` with a new name, and puts what it made in the place of `name`, whatever is there. */
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
    // What was there before, or what could not be put in place.
    removeAll(folder, temporary);
  }
}

/** Writes changes of one tree to another. */
export interface ChangeWriter {
  /** Makes `path` what it is in the source: with its content, or for a folder empty. */
  put(path: string): void;
  /** Gives the folder `path` owner, mode and extended attributes that it has in the source. */
  setAttributes(path: string): void;
  /** Removes `path` with all that is in it. */
  remove(path: string): void;
  /** Sets the times of the folders that were put, which what was put into them has changed. */
  finish(): void;
}

/** Writes changes from the tree below `source` to that below `target`. All methods throw `SystemError`. */
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
        (from) => inFolder(target, path.slice(1), (to) => copyAttributes(from, to, statusAt(from))),
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
