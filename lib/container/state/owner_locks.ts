/**
 * Owner locks of containers, visible across PID namespaces and hosts: the owner of a container locks a byte of the file
 * `.lock` in the directory of containers, at the offset given by the container's id. The kernel releases the lock when
 * the owner dies. A command and the monitor that it has started can share it.
 *
 * @module
 */

import { isByteShared, shareByte } from "../../../ffi/fs/byte_locks.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { Fd } from "../../../ffi/fs/fd.ts";
import { AT_FDCWD, close, openAt } from "../../../ffi/fs/fs.ts";

/** Object of a lock: the container, or its temporary freeze. */
export type Claim = "container" | "freeze";

const OFFSET = { container: 0, freeze: 2 ** 48 };
const held = new Map<string, number>();

function open(containers: string): number {
  return openAt(AT_FDCWD, `${containers}/.lock`, flags("O", "RDWR", "CREAT", "NOFOLLOW", "NONBLOCK"), 0o600);
}

function byteOf(id: string, claim: Claim): number {
  return OFFSET[claim] + Number.parseInt(id, 16);
}

/** Returns whether a living process, here or elsewhere, holds the lock. */
export function isLocked(containers: string, id: string, claim: Claim): boolean {
  using file = new Fd(open(containers));
  return isByteShared(file.number, byteOf(id, claim));
}

/**
 * Acquires a lock for this process until {@linkcode releaseLock} or its exit. Returns false if another process holds it. A
 * process known to be dead may hold it until all its threads have exited: with `from`, the lock is then shared.
 */
export function acquireLock(containers: string, id: string, claim: Claim = "container", from?: "the dead"): boolean {
  const key = `${containers}/${id}/${claim}`, byte = byteOf(id, claim);
  if (held.has(key)) return true;
  // A new file description, as the directory at this path may have been replaced.
  const fd = open(containers);
  try {
    if (from || !isByteShared(fd, byte)) {
      shareByte(fd, byte);
      held.set(key, fd);
    }
  } finally {
    if (!held.has(key)) close(fd);
  }
  return held.has(key);
}

/** Releases a lock that {@linkcode acquireLock} has acquired, if any. */
export function releaseLock(containers: string, id: string, claim: Claim = "container"): void {
  const key = `${containers}/${id}/${claim}`, fd = held.get(key);
  if (fd !== undefined) close(fd);
  held.delete(key);
}
