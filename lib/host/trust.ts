/**
 * Trusted directories: images and containers must lie in directories that only root and this user can change, including
 * all parents, since their content is executed and its records are obeyed.
 *
 * @module
 */

import { flags } from "../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt, S_IF } from "../../ffi/fs/fs.ts";
import { getXattr } from "../../ffi/fs/xattrs.ts";
import { effectiveUser, isFolder, type Ownership, ownershipOf, readLink } from "../../ffi/fs/paths.ts";
import { InputError } from "../errors.ts";

/** Reason for distrusting a directory. */
export interface Distrust {
  /** The directory, parent or symbolic link that another user can change. */
  readonly path: string;
  /** Its owner. */
  readonly uid: number;
  /** The reason: `belongs to user 1000`. */
  readonly why: string;
}

const OTHERS = 0o002, GROUP = 0o020, STICKY = 0o1000, MOST_LINKS = 40;
const trusted = new Set<string>();

/** Reports whether a directory has a POSIX access control list. */
function hasList(path: string): boolean {
  const fd = openAt(AT_FDCWD, path, flags("O", "RDONLY", "DIRECTORY"));
  try {
    return getXattr(fd, "system.posix_acl_access") !== undefined;
  } finally {
    close(fd);
  }
}

/** Reports whether a directory's group is root's or its owner's private group. */
function isPrivate(path: string, { uid, gid }: Ownership): boolean {
  return (gid === 0 || gid === uid) && !hasList(path);
}

function fault(path: string, found: Ownership, isLast: boolean): string | undefined {
  const { mode, uid, gid } = found;
  if (uid !== 0 && uid !== effectiveUser()) return `belongs to user ${uid}`;
  if ((mode & S_IF.MT) === S_IF.LNK) return undefined;
  // In a sticky directory such as /tmp, other users cannot replace this user's entries; the next iteration checks the
  // entry.
  if (!isLast && (mode & STICKY) !== 0) return undefined;
  if ((mode & OTHERS) !== 0) return "can be written to by everyone";
  return (mode & GROUP) !== 0 && !isPrivate(path, found) ? `can be written to by the group ${gid}` : undefined;
}

/** Returns how another user could change an absolute path; undefined if none can. Missing components are trusted. */
export function distrustOf(path: string): Distrust | undefined {
  if (trusted.has(path)) return undefined;
  const names = path.split("/");
  let at = "", links = 0;
  for (let name = names.shift(); name !== undefined; name = names.shift()) {
    if (name === "." || (name === "" && at !== "")) continue;
    if (name === "..") {
      at = at.slice(0, Math.max(0, at.lastIndexOf("/")));
      continue;
    }
    const next = name === "" ? "/" : `${at === "/" ? "" : at}/${name}`;
    const found = ownershipOf(next, true);
    // This user will create it.
    if (!found) return undefined;
    const why = fault(next, found, names.every((rest) => rest === ""));
    if (why !== undefined) return { path: next, uid: found.uid, why };
    const target = (found.mode & S_IF.MT) === S_IF.LNK ? readLink(next) : undefined;
    if (target === undefined) at = next;
    else if (++links > MOST_LINKS) return { path: next, uid: found.uid, why: "leads in a circle" };
    else {
      names.unshift(...target.split("/"));
      if (target.startsWith("/")) at = "";
    }
  }
  trusted.add(path);
  return undefined;
}

/**
 * Checks that only root and this user can change a directory.
 *
 * @throws {InputError} `folder-untrusted`.
 */
export function requireTrusted(path: string): void {
  const distrust = distrustOf(path);
  if (!distrust) return;
  const { path: place, why } = distrust;
  const way = isFolder(place) ? `chown root ${place} && chmod go-w ${place}` : `make ${place} again as root`;
  throw new InputError(`cannot use ${path}: ${place} ${why}`, {
    code: "folder-untrusted",
    facts: { folder: path, ...distrust },
    hint: `choose a directory that only root can change; or, if you trust its content: ${way}`,
  });
}
