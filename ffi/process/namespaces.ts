/**
 * Namespaces and how they lie in each other (`ioctl_ns(2)`).
 *
 * @module
 */

import { flags } from "../program/flags.ts";
import { AT_FDCWD, close, openAt, readLinkAt, SystemError } from "../fs/fs.ts";
import { shim } from "../native.ts";

const NS_GET_PARENT = 0xb702;
const GONE = ["ENOENT", "ESRCH", "EACCES", "EPERM"];

function nothingIfGone<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof SystemError && GONE.includes(error.code)) return undefined;
    throw error;
  }
}

/** The name of a process's namespace, such as `net:[4026531840]`; undefined if the process is gone or out of reach. */
export function namespaceOf(pid: number | "self", kind: "pid" | "net"): string | undefined {
  return nothingIfGone(() => readLinkAt(AT_FDCWD, `/proc/${pid}/ns/${kind}`));
}

/**
 * The names of the pid namespaces that a process's own lies in, from the inside out, as far as our own: its own comes
 * first. None if the process is gone.
 */
export function pidNamespacesOf(pid: number): string[] {
  const names: string[] = [];
  let fd = nothingIfGone(() => openAt(AT_FDCWD, `/proc/${pid}/ns/pid`, flags("O", "RDONLY"))) ?? -1;
  while (fd >= 0) {
    names.push(readLinkAt(AT_FDCWD, `/proc/self/fd/${fd}`));
    const parent = shim.i("ioctl", fd, NS_GET_PARENT);
    close(fd);
    fd = parent;
  }
  return names;
}
