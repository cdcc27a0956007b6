/**
 * Origin of a process identity: the machine, boot, PID namespace and time namespace in which its PID and start time are
 * unique. An identity from another origin cannot be compared with the processes that this one sees.
 *
 * @module
 */

import { readLink, readSmallFile } from "../../../ffi/fs/paths.ts";
import { ContainerError } from "../../errors.ts";

const BOOT = "/proc/sys/kernel/random/boot_id", MACHINE = "/etc/machine-id";
const DIGITS = 8;

let own: string | undefined;

function digitsOf(file: string): string {
  return readSmallFile(file)?.slice(0, DIGITS).padStart(DIGITS, "0") ?? "0".repeat(DIGITS);
}

/** Returns the inode of a namespace of this process in hexadecimal; 0 if the kernel does not support it. */
function namespace(kind: string): string {
  const link = readLink(`/proc/self/ns/${kind}`) ?? "";
  return Number(link.slice(link.indexOf("[") + 1, -1)).toString(16);
}

/**
 * Returns the origin of this process: `MACHINE.BOOT.PIDNS.TIMENS`, the first digits of the machine id and boot id and the
 * inodes of the namespaces. It is short enough for an inline symbolic link.
 *
 * @throws {ContainerError} `no-proc` if /proc does not show the processes of this PID namespace.
 */
export function ownOrigin(): string {
  if (own !== undefined) return own;
  if (readLink("/proc/self") !== String(Deno.pid)) {
    throw new ContainerError("/proc does not show the processes of this PID namespace", {
      code: "no-proc",
      facts: { pid: Deno.pid },
      hint: "mount it: mount -t proc proc /proc, or use unshare --mount-proc",
    });
  }
  return own = [digitsOf(MACHINE), digitsOf(BOOT), namespace("pid"), namespace("time")].join(".");
}

/** Scope in which another origin differs from this one. */
export type Distance = "namespace" | "boot" | "machine";

/** Returns in what another origin differs from this one: in the namespace only, the boot, or the machine. */
export function distanceOf(origin: string): Distance {
  const [machine, boot] = origin.split("."), [ownMachine, ownBoot] = ownOrigin().split(".");
  return boot === ownBoot ? "namespace" : machine === ownMachine ? "boot" : "machine";
}
