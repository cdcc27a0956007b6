/**
 * Whom a folder can be changed by. Images and containers lie in folders that only root and we can change, in themselves
 * and in all that is above them: what lies there is executed, followed and killed as we are told there.
 *
 * @module
 */

import { flags } from "../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt, S_IF } from "../../ffi/fs/fs.ts";
import { getXattr } from "../../ffi/fs/xattrs.ts";
import { effectiveUser, isFolder, type Ownership, ownershipOf, readLink } from "../../ffi/fs/paths.ts";
import { InputError } from "../errors.ts";

/** Why a folder is not to be used. */
export interface Distrust {
  /** What somebody else can change: the folder, or a folder or symbolic link on the way to it. */
  readonly path: string;
  /** Whose that is. */
  readonly uid: number;
  /** Who can change it: `belongs to user 1000`. */
  readonly why: string;
}

const OTHERS = 0o002, GROUP = 0o020, STICKY = 0o1000, MOST_LINKS = 40;
const trusted = new Set<string>();

/** Whether an access control list says more than the permission bits do. */
function hasList(path: string): boolean {
  const fd = openAt(AT_FDCWD, path, flags("O", "RDONLY", "DIRECTORY"));
  try {
    return getXattr(fd, "system.posix_acl_access") !== undefined;
  } finally {
    close(fd);
  }
}

/** Whether nobody but root and its owner is in its group: a group of the user's own, which has the user's number. */
function isPrivate(path: string, { uid, gid }: Ownership): boolean {
  return (gid === 0 || gid === uid) && !hasList(path);
}

function fault(path: string, found: Ownership, isLast: boolean): string | undefined {
  const { mode, uid, gid } = found;
  if (uid !== 0 && uid !== effectiveUser()) return `belongs to user ${uid}`;
  if ((mode & S_IF.MT) === S_IF.LNK) return undefined;
  // In /tmp and the like nobody can replace what is ours, and what is ours is looked at next.
  if (!isLast && (mode & STICKY) !== 0) return undefined;
  if ((mode & OTHERS) !== 0) return "can be written to by everyone";
  return (mode & GROUP) !== 0 && !isPrivate(path, found) ? `can be written to by the group ${gid}` : undefined;
}

/** Who else could change what is at an absolute path; undefined if nobody. What is missing does not matter. */
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
    // It will be ours.
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
 * Checks that nobody but root and we can change a folder.
 *
 * @throws {InputError} `folder-untrusted`.
 */
export function requireTrusted(path: string): void {
  const distrust = distrustOf(path);
  if (!distrust) return;
  const { path: place, why } = distrust;
  const way = isFolder(place) ? `chown root ${place} && chmod go-w ${place}` : `make ${place} again as root`;
  throw new InputError(`cannot use ${path}: ${place} ${why}, who could have put anything there`, {
    code: "folder-untrusted",
    facts: { folder: path, ...distrust },
    hint: `choose a folder that only root can change; or, if you trust all that is in it: ${way}`,
  });
}
