/**
 * Attributes of files that are unpacked: owner, mode, extended attributes, modification time.
 *
 * @module
 */

import { chmod, chmodAt, chownAt, readNames, statusAt, utimesAt } from "../../ffi/fs/fs.ts";
import { getXattr, setXattr } from "../../ffi/fs/xattrs.ts";
import { Fd } from "../../ffi/fs/fd.ts";
import type { TarEntry } from "./entry.ts";
import { failedWith, openDirectory } from "./tree.ts";

const SETGID = 0o2000, PERMISSIONS = 0o777;

/** Gives what is unpacked its owner, mode, extended attributes and time. */
export interface EntryAttributes {
  /** The permissions to make a file with. */
  modeOf(entry: TarEntry): number;
  /** Sets them on an open file or directory, or on one `made` with {@linkcode modeOf}. */
  apply(fd: number, entry: TarEntry, made?: boolean): void;
  /** Sets them on what is neither, which has no extended attributes. */
  applySpecial(parent: number, name: string, entry: TarEntry): void;
}

/** Which extended attributes are kept: an image must not speak to overlayfs or to the host's security modules. */
export function isKept(xattr: string): boolean {
  return xattr === "security.capability" || xattr.startsWith("user.") && !xattr.startsWith("user.overlay.");
}

/**
 * Returns the permission bits that files made in a directory do not get; undefined if their owner or mode cannot be foretold, as
 * in one that hands on its group or access control list, or holds something already.
 */
function creationMask(root: number): number | undefined {
  const { gid, mode } = statusAt(root), status = Deno.readTextFileSync("/proc/thread-self/status");
  const [, umask] = /^Umask:\s*([0-7]+)$/m.exec(status) ?? [], [, group] = /^Gid:\s*\d+\s+(\d+)/m.exec(status) ?? [];
  if (Deno.uid() !== 0 || group !== "0" || gid !== 0 || mode & SETGID || umask === undefined) return undefined;
  if (getXattr(root, "system.posix_acl_default")) return undefined;
  using listed = new Fd(openDirectory(root, "."));
  return readNames(listed.number).length ? undefined : parseInt(umask, 8);
}

/** For what is unpacked below the directory `root`. */
export function entryAttributes(root: number): EntryAttributes {
  const superuser = Deno.uid() === 0, mask = creationMask(root);

  function applyXattrs(fd: number, xattrs: TarEntry["xattrs"]): void {
    for (const [name, value] of xattrs) {
      if (!isKept(name)) continue;
      try {
        setXattr(fd, name, value);
      } catch (error) {
        const plain = !superuser && failedWith(error, "EPERM");
        if (!plain && !failedWith(error, "EOPNOTSUPP", "ENOTSUP")) throw error;
      }
    }
  }

  /** Changes the owner of `name`; of `fd` if it is empty. Ids from 2^31 go into the kernel's 32 bits as negative numbers. */
  function applyOwner(fd: number, name: string, entry: TarEntry): void {
    if (superuser) chownAt(fd, name, entry.uid | 0, entry.gid | 0);
  }

  return {
    modeOf: (entry) => mask === undefined ? 0o600 : entry.mode & PERMISSIONS,
    // Changing the owner clears mode bits and capabilities, so it goes first.
    apply(fd, entry, made = false) {
      const owned = made && mask !== undefined && entry.uid === 0 && entry.gid === 0;
      if (!owned) applyOwner(fd, "", entry);
      if (!owned || entry.mode & (mask | ~PERMISSIONS)) chmod(fd, entry.mode);
      if (entry.xattrs.size) applyXattrs(fd, entry.xattrs);
      utimesAt(fd, "", entry.mtime);
    },
    applySpecial(parent, name, entry) {
      applyOwner(parent, name, entry);
      if (entry.type !== "symlink") chmodAt(parent, name, entry.mode);
      utimesAt(parent, name, entry.mtime);
    },
  };
}
