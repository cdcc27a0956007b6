/**
 * What this kernel knows.
 *
 * @module
 */

import { shim } from "../native.ts";
import type { SyscallName } from "../program/syscalls.ts";

const ENOSYS = 38;

/** Whether the kernel has a system call. It is called with arguments that it must refuse. */
export function hasSyscall(name: SyscallName): boolean {
  return shim.i(name, -1) !== -ENOSYS;
}
