/**
 * Copying the upper folder of an overlay as it is, with all that the overlay has noted in it.
 *
 * @module
 */

import { extentsOf, seekTo } from "../../ffi/extents.ts";
import { flags } from "../../ffi/flags.ts";
import * as fs from "../../ffi/fs.ts";
import { ContainerError } from "../errors.ts";
import { openDirectory } from "../image/tree.ts";

const BLOCK = 512;
// Of a path, in characters: more than any program can open by name.
const DEEPEST = 4096;

/** Where a file with several names has been put. */
type Links = Map<bigint, string>;

function copyAttributes(from: number, to: number, { uid, gid, mode }: fs.Status): void {
  fs.chownAt(to, "", uid, gid);
  fs.chmod(to, mode & 0o7777);
  for (const name of fs.listXattrs(from)) {
    const value = fs.getXattr(from, name);
    if (value) fs.setXattr(to, name, value);
  }
}

/** Fills the empty file `to`: with the same blocks where the file system can share them, else with a copy. */
function copyData(from: number, to: number, { size, blocks }: fs.Status): void {
  if (size === 0 || fs.shareBlocks(from, to)) return;
  if (blocks * BLOCK >= size) return fs.copyBytes(from, to, size);
  for (const [offset, length] of extentsOf(from, size)) {
    seekTo(from, offset);
    seekTo(to, offset);
    fs.copyBytes(from, to, length);
  }
  fs.setSize(to, size);
}

function copyFile(source: number, target: number, name: string, status: fs.Status): void {
  const from = fs.openAt(source, name, flags("O", "RDONLY", "NOFOLLOW", "NONBLOCK"));
  try {
    const to = fs.openAt(target, name, flags("O", "WRONLY", "CREAT", "EXCL", "NOFOLLOW"), 0o600);
    try {
      copyData(from, to, status);
      copyAttributes(from, to, status);
      fs.utimesAt(to, "", status.mtime);
    } finally {
      fs.close(to);
    }
  } finally {
    fs.close(from);
  }
}

function copyOther(source: number, target: number, name: string, { mode, rdev, uid, gid, mtime }: fs.Status): void {
  if ((mode & fs.S_IF.MT) === fs.S_IF.LNK) fs.symlinkAt(fs.readLinkAt(source, name), target, name);
  else {
    const [major = 0, minor = 0] = rdev.split(":").map(Number);
    fs.mknodAt(target, name, mode, major, minor);
    fs.chmodAt(target, name, mode & 0o7777);
  }
  fs.chownAt(target, name, uid, gid);
  fs.utimesAt(target, name, mtime);
}

interface Trees {
  readonly top: number;
  readonly links: Links;
}

function copyEntry(source: number, target: number, name: string, path: string, trees: Trees): void {
  const status = fs.statusAt(source, name), type = status.mode & fs.S_IF.MT;
  if (type === fs.S_IF.DIR) return copyFolder(source, target, name, path, trees);
  const first = status.nlink > 1 ? trees.links.get(status.ino) : undefined;
  if (first !== undefined) return fs.linkAt(trees.top, first, target, name);
  if (type === fs.S_IF.REG) copyFile(source, target, name, status);
  else copyOther(source, target, name, status);
  if (status.nlink > 1) trees.links.set(status.ino, path);
}

function copyFolder(source: number, target: number, name: string, path: string, trees: Trees): void {
  if (path.length > DEEPEST) {
    throw new ContainerError("the container's folders are too deep to be forked while it runs", {
      code: "too-deep",
      hint: "stop it first",
    });
  }
  fs.mkdirAt(target, name, 0o700);
  const from = openDirectory(source, name);
  try {
    const to = openDirectory(target, name);
    try {
      copyContents(from, to, path, trees);
    } finally {
      fs.close(to);
    }
  } finally {
    fs.close(from);
  }
}

function copyContents(from: number, to: number, path: string, trees: Trees): void {
  for (const name of fs.readNames(from)) copyEntry(from, to, name, path === "" ? name : `${path}/${name}`, trees);
  const status = fs.statusAt(from);
  copyAttributes(from, to, status);
  fs.utimesAt(to, "", status.mtime);
}

/** Copies the folder `source` to `target`, which must not exist. Nobody may change `source` meanwhile. */
export function cloneTree(source: string, target: string): void {
  Deno.mkdirSync(target, { mode: 0o700 });
  const from = openDirectory(fs.AT_FDCWD, source);
  try {
    const top = openDirectory(fs.AT_FDCWD, target);
    try {
      copyContents(from, top, "", { top, links: new Map() });
    } finally {
      fs.close(top);
    }
  } finally {
    fs.close(from);
  }
}
