/**
 * Copying the upper folder of an overlay as it is, with all that the overlay has noted in it.
 *
 * @module
 */

import { getXattr, listXattrs, setXattr } from "../../../ffi/fs/xattrs.ts";
import { copyBytes, extentsOf, seekTo, setSize, shareBlocks } from "../../../ffi/fs/extents.ts";
import { flags } from "../../../ffi/program/flags.ts";
import * as fs from "../../../ffi/fs/fs.ts";
import { descend, walker } from "../../tar/descent.ts";
import { openDirectory } from "../../tar/tree.ts";

const BLOCK = 512;

function copyAttributes(from: number, to: number, { uid, gid, mode }: fs.Status): void {
  fs.chownAt(to, "", uid, gid);
  fs.chmod(to, mode & 0o7777);
  for (const name of listXattrs(from)) {
    const value = getXattr(from, name);
    if (value) setXattr(to, name, value);
  }
}

/** Fills the empty file `to`: with the same blocks where the file system can share them, else with a copy. */
function copyData(from: number, to: number, { size, blocks }: fs.Status): void {
  if (size === 0 || shareBlocks(from, to)) return;
  if (blocks * BLOCK >= size) return copyBytes(from, to, size);
  for (const [offset, length] of extentsOf(from, size)) {
    seekTo(from, offset);
    seekTo(to, offset);
    copyBytes(from, to, length);
  }
  setSize(to, size);
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

/** Copies what `source` is open on to the open folder `target`, without recursion and with few descriptors. */
function copyContents(source: number, target: number): void {
  const from = descend(source), to = descend(target), firsts = walker(target, openDirectory);
  const links = new Map<bigint, readonly string[]>(), way: string[] = [], left: string[][] = [fs.readNames(source)];

  function enter(name: string): void {
    fs.mkdirAt(to.fd(), name, 0o700);
    from.enter(name, openDirectory(from.fd(), name));
    to.enter(name, openDirectory(to.fd(), name));
    way.push(name);
    left.push(fs.readNames(from.fd()));
  }

  function copyEntry(name: string): void {
    const status = fs.statusAt(from.fd(), name), type = status.mode & fs.S_IF.MT;
    if (type === fs.S_IF.DIR) return enter(name);
    const first = status.nlink > 1 ? links.get(status.ino) : undefined;
    if (first) return fs.linkAt(firsts.enter(first, first.length - 1), first.at(-1) ?? "", to.fd(), name);
    if (type === fs.S_IF.REG) copyFile(from.fd(), to.fd(), name, status);
    else copyOther(from.fd(), to.fd(), name, status);
    if (status.nlink > 1) links.set(status.ino, [...way, name]);
  }

  try {
    for (let names = left.at(-1); names; names = left.at(-1)) {
      const name = names.pop();
      if (name !== undefined) {
        copyEntry(name);
        continue;
      }
      const status = fs.statusAt(from.fd());
      copyAttributes(from.fd(), to.fd(), status);
      fs.utimesAt(to.fd(), "", status.mtime);
      left.pop();
      way.pop();
      from.leave();
      to.leave();
    }
  } finally {
    from.reset();
    to.reset();
    firsts.reset();
  }
}

/** Copies the folder `source` to `target`, which must not exist. Nobody may change `source` meanwhile. */
export function cloneTree(source: string, target: string): void {
  Deno.mkdirSync(target, { mode: 0o700 });
  const from = openDirectory(fs.AT_FDCWD, source);
  try {
    const top = openDirectory(fs.AT_FDCWD, target);
    try {
      copyContents(from, top);
    } finally {
      fs.close(top);
    }
  } finally {
    fs.close(from);
  }
}
