/**
 * Namespaces of processes (namespaces(7)) and their nesting (ioctl_ns(2)).
 *
 * @module
 */

import { flags, UAPI } from "../program/flags.ts";
import { AT_FDCWD, close, openAt, readLinkAt, SystemError } from "../fs/fs.ts";
import { shim } from "../native.ts";

const GONE = ["ENOENT", "ESRCH", "EACCES", "EPERM"];

function undefinedIfGone<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof SystemError && GONE.includes(error.code)) return undefined;
    throw error;
  }
}

/** Returns the name of a process's namespace, such as `net:[4026531840]`; undefined if it has exited or is inaccessible. */
export function namespaceOf(pid: number | "self", kind: "pid" | "net"): string | undefined {
  return undefinedIfGone(() => readLinkAt(AT_FDCWD, `/proc/${pid}/ns/${kind}`));
}

/**
 * Returns the names of a process's pid namespace and its ancestors up to the one of this process; none if the process has
 * exited.
 */
export function pidNamespacesOf(pid: number): string[] {
  const names: string[] = [];
  let fd = undefinedIfGone(() => openAt(AT_FDCWD, `/proc/${pid}/ns/pid`, flags("O", "RDONLY"))) ?? -1;
  while (fd >= 0) {
    names.push(readLinkAt(AT_FDCWD, `/proc/self/fd/${fd}`));
    const parent = shim.i("ioctl", fd, UAPI.NS_GET_PARENT);
    close(fd);
    fd = parent;
  }
  return names;
}
