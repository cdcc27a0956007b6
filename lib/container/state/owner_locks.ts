/**
 * Claims of containers that every PID namespace and host sees: whoever has a container locks a byte of the file `.lock`
 * in the folder of containers, the one that the container's id is the number of. The kernel lets go of it when he dies.
 * Several may hold it: a command until it ends, and the monitor that it has started.
 *
 * @module
 */

import { isByteShared, shareByte } from "../../../ffi/fs/byte_locks.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt } from "../../../ffi/fs/fs.ts";

/** What is claimed: the container itself, or the right to freeze it for a moment. */
export type Claim = "container" | "freeze";

const OFFSET = { container: 0, freeze: 2 ** 48 };
const held = new Map<string, number>();

function open(containers: string): number {
  return openAt(AT_FDCWD, `${containers}/.lock`, flags("O", "RDWR", "CREAT", "NOFOLLOW", "NONBLOCK"), 0o600);
}

function byteOf(id: string, claim: Claim): number {
  return OFFSET[claim] + Number.parseInt(id, 16);
}

/** Whether a process that lives, here or elsewhere, has the claim. */
export function isLocked(containers: string, id: string, claim: Claim): boolean {
  const fd = open(containers);
  try {
    return isByteShared(fd, byteOf(id, claim));
  } finally {
    close(fd);
  }
}

/**
 * Claims something for this process until {@linkcode releaseLock}, or until it ends; false if another has it. One who is known
 * to be dead may have it for a moment more, until all his threads are: `from` him it is taken all the same.
 */
export function acquireLock(containers: string, id: string, claim: Claim = "container", from?: "the dead"): boolean {
  const key = `${containers}/${id}/${claim}`, byte = byteOf(id, claim);
  if (held.has(key)) return true;
  // A description of its own, as the folder may be another one of the same path by now.
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

/** Gives up what {@linkcode claim} got, if it did. */
export function releaseLock(containers: string, id: string, claim: Claim = "container"): void {
  const key = `${containers}/${id}/${claim}`, fd = held.get(key);
  if (fd !== undefined) close(fd);
  held.delete(key);
}
