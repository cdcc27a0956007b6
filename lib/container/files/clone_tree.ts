/**
 * Clones of an overlay's upper directory (fork), with whiteouts and the attributes of the overlay.
 *
 * @module
 */

import { Fd } from "../../../ffi/fs/fd.ts";
import { getXattr, listXattrs, setXattr } from "../../../ffi/fs/xattrs.ts";
import { flags } from "../../../ffi/program/flags.ts";
import * as fs from "../../../ffi/fs/fs.ts";
import { descend, walker } from "../../tar/descent.ts";
import { openDirectory } from "../../tar/tree.ts";
import { copyAttributes, copyFile, copySpecial } from "./copy_node.ts";

const CONTENT = flags("O", "RDONLY", "NOFOLLOW", "NONBLOCK");

function copyAllXattrs(from: number, to: number): void {
  for (const name of listXattrs(from)) {
    const value = getXattr(from, name);
    if (value) setXattr(to, name, value);
  }
}

function copyNode(source: number, target: number, name: string, status: fs.Status): void {
  const type = status.mode & fs.S_IF.MT;
  if (type !== fs.S_IF.REG) {
    return copySpecial(type === fs.S_IF.LNK ? fs.readLinkAt(source, name) : undefined, target, name, status);
  }
  using from = new Fd(fs.openAt(source, name, CONTENT));
  copyFile(from.number, target, name, status, copyAllXattrs);
}

/** Copies the content of one open directory to another, without recursion and with a bounded number of descriptors. */
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
    const status = fs.statusAt(from.fd(), name);
    if ((status.mode & fs.S_IF.MT) === fs.S_IF.DIR) return enter(name);
    const first = status.nlink > 1 ? links.get(status.ino) : undefined;
    if (first) return fs.linkAt(firsts.enter(first, first.length - 1), first.at(-1) ?? "", to.fd(), name);
    copyNode(from.fd(), to.fd(), name, status);
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
      copyAttributes(from.fd(), to.fd(), status, copyAllXattrs);
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

/** Copies the directory `source`, which nothing may change meanwhile, to the new directory `target`. */
export function cloneTree(source: string, target: string): void {
  Deno.mkdirSync(target, { mode: 0o700 });
  using from = new Fd(openDirectory(fs.AT_FDCWD, source));
  using to = new Fd(openDirectory(fs.AT_FDCWD, target));
  copyContents(from.number, to.number);
}
