/**
 * Probing for system calls that the kernel may lack.
 *
 * @module
 */

import { ERRNO } from "../errno.ts";
import { shim } from "../native.ts";
import type { SyscallName } from "../program/syscalls.ts";

/** Returns whether the kernel has a system call, by calling it with invalid arguments. */
export function hasSyscall(name: SyscallName): boolean {
  return shim.i(name, -1) !== -ERRNO.ENOSYS;
}
