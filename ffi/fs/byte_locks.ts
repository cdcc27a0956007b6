/**
 * Locks on single bytes of a file, which an open file description holds (`F_OFD_SETLK` of fcntl(2)): the kernel lets go
 * of them when the last process that has it open ends, and tells of them in every PID namespace.
 *
 * @module
 */

import { SystemError } from "./fs.ts";
import { shim } from "../native.ts";

const F_OFD_GETLK = 36, F_OFD_SETLK = 37;
const F_RDLCK = 0, F_WRLCK = 1, F_UNLCK = 2;
// struct flock
const SIZE = 32, START = 8, LENGTH = 16;

function change(fd: number, command: number, type: number, byte: number): number {
  const view = new DataView(new ArrayBuffer(SIZE));
  view.setInt16(0, type, true);
  view.setBigInt64(START, BigInt(byte), true);
  view.setBigInt64(LENGTH, 1n, true);
  const result = shim.iib("fcntl", fd, command, new Uint8Array(view.buffer));
  if (result < 0) throw new SystemError("fcntl", `descriptor ${fd}`, -result);
  return view.getInt16(0, true);
}

/** Locks a byte; others may lock it beside us. */
export function shareByte(fd: number, byte: number): void {
  change(fd, F_OFD_SETLK, F_RDLCK, byte);
}

/** Whether somebody has locked a byte by another description than this one. */
export function isByteShared(fd: number, byte: number): boolean {
  return change(fd, F_OFD_GETLK, F_WRLCK, byte) !== F_UNLCK;
}
