/**
 * Locks on single bytes of a file, owned by the open file description (`F_OFD_SETLK` of fcntl(2)). The kernel releases
 * them with the last descriptor of it, and reports them in every PID namespace.
 *
 * @module
 */

import { shim } from "../native.ts";
import { UAPI } from "../program/flags.ts";
import { check } from "./fs.ts";

const F_RDLCK = 0, F_WRLCK = 1, F_UNLCK = 2;
// struct flock
const SIZE = 32, START = 8, LENGTH = 16;

/** Calls fcntl(2) with a `struct flock`, and returns the lock type that the kernel has left in it. */
function fcntl(fd: number, command: number, type: number, byte: number): number {
  const view = new DataView(new ArrayBuffer(SIZE));
  view.setInt16(0, type, true);
  view.setBigInt64(START, BigInt(byte), true);
  view.setBigInt64(LENGTH, 1n, true);
  check(shim.iib("fcntl", fd, command, new Uint8Array(view.buffer)), "fcntl", fd);
  return view.getInt16(0, true);
}

/** Takes a shared lock on a byte. */
export function shareByte(fd: number, byte: number): void {
  fcntl(fd, UAPI.F_OFD_SETLK, F_RDLCK, byte);
}

/** Returns whether another open file description holds a lock on a byte. */
export function isByteShared(fd: number, byte: number): boolean {
  return fcntl(fd, UAPI.F_OFD_GETLK, F_WRLCK, byte) !== F_UNLCK;
}
