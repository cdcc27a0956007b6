/** What a folder holds, to be compared. */

import { createHash } from "node:crypto";
import { AT_FDCWD, close, openAt, readLinkAt, readNames, S_IF, statusAt } from "../../ffi/fs/fs.ts";
import { getXattr, listXattrs } from "../../ffi/fs/xattrs.ts";
import { flags } from "../../ffi/program/flags.ts";

/** One entry as text, by what is compared: type and mode, owner, device, time, links, size, content, attributes. */
export type Tree = Map<string, string>;

/** Which extended attributes a comparison is about. Default: all but security modules' own. */
export type XattrFilter = (name: string) => boolean;

const READ = flags("O", "RDONLY", "NOFOLLOW");

function contentOf(fd: number): string {
  const hash = createHash("sha256");
  using file = Deno.openSync(`/proc/self/fd/${fd}`);
  const buffer = new Uint8Array(1 << 16);
  for (let n = file.readSync(buffer); n; n = file.readSync(buffer)) hash.update(buffer.subarray(0, n));
  return hash.digest("hex").slice(0, 12);
}

function describe(parent: number, name: string, isCompared: XattrFilter): string {
  const { mode, uid, gid, rdev, mtime, nlink, size } = statusAt(parent, name), type = mode & S_IF.MT;
  const words = [mode.toString(8), `${uid}:${gid}`, `@${mtime}`];
  if (type === S_IF.CHR || type === S_IF.BLK) words.push(rdev);
  if (type === S_IF.LNK) words.push(`-> ${JSON.stringify(readLinkAt(parent, name))}`);
  if (type !== S_IF.DIR) words.push(`${nlink} links`);
  if (type === S_IF.DIR || type === S_IF.REG) {
    const fd = openAt(parent, name, READ);
    try {
      for (const xattr of listXattrs(fd).filter(isCompared).sort()) {
        words.push(`${xattr}=${getXattr(fd, xattr)?.toHex()}`);
      }
      if (type === S_IF.REG) words.push(`${size}`, contentOf(fd));
    } finally {
      close(fd);
    }
  }
  return words.join(" ");
}

/** All that is below `folder`, and the folder itself as an empty name. */
export function treeOf(folder: string, isCompared: XattrFilter = (name) => name !== "security.selinux"): Tree {
  const tree: Tree = new Map();
  const visit = (parent: number, name: string, path: string): void => {
    tree.set(path, describe(parent, name, isCompared));
    if ((statusAt(parent, name).mode & S_IF.MT) !== S_IF.DIR) return;
    const fd = openAt(parent, name, flags("O", "RDONLY", "DIRECTORY", "NOFOLLOW"));
    try {
      for (const child of readNames(fd).sort()) visit(fd, child, `${path}/${child}`);
    } finally {
      close(fd);
    }
  };
  visit(AT_FDCWD, folder, "");
  return tree;
}
