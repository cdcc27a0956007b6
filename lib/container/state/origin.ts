/**
 * Where processes are told apart by number and start time: a boot of a machine, a PID namespace and a time namespace. A
 * mark of a process that was made elsewhere says nothing of the processes that we see.
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

/** The inode of a namespace of ours in hexadecimal; 0 where the kernel has none of the kind. */
function namespace(kind: string): string {
  const link = readLink(`/proc/self/ns/${kind}`) ?? "";
  return Number(link.slice(link.indexOf("[") + 1, -1)).toString(16);
}

/**
 * Where this process is: `MACHINE.BOOT.PIDNS.TIMENS`, the first digits of the machine's and the boot's id and the inodes
 * of the namespaces. Short, as {@linkcode formatMark} wants it.
 *
 * @throws {ContainerError} `no-proc` if /proc does not show the processes of our PID namespace.
 */
export function ownOrigin(): string {
  if (own !== undefined) return own;
  if (readLink("/proc/self") !== String(Deno.pid)) {
    throw new ContainerError("/proc does not show the processes of this PID namespace", {
      code: "no-proc",
      facts: { pid: Deno.pid },
      hint: "mount it: mount -t proc proc /proc (unshare --mount-proc does)",
    });
  }
  return own = [digitsOf(MACHINE), digitsOf(BOOT), namespace("pid"), namespace("time")].join(".");
}

/** How another origin differs from ours. */
export type Distance = "namespace" | "boot" | "machine";

/** What tells another origin from ours: only the namespace, also the boot, or the machine too. */
export function distanceOf(origin: string): Distance {
  const [machine, boot] = origin.split("."), [ourMachine, ourBoot] = ownOrigin().split(".");
  return boot === ourBoot ? "namespace" : machine === ourMachine ? "boot" : "machine";
}
