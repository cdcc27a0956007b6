/**
 * Process identity: a PID with its start time and its origin (boot, PID namespace and time namespace), so that a reused
 * PID is not mistaken for the process that had it before.
 *
 * @module
 */

import { readLink, readSmallFile } from "../../ffi/fs/paths.ts";
import { ContainerError } from "../errors.ts";

/** A process that cannot be mistaken for another one with the same PID. */
export interface ProcessIdentity {
  /** Its PID in the PID namespace in which it was identified. */
  readonly pid: number;
  /** Its start time in clock ticks since boot (field 22 of proc_pid_stat(5)). */
  readonly startTime: number;
  /** Where it was identified, as {@linkcode ownOrigin} returns it. Default: the caller's origin. */
  readonly origin?: string;
}

/** How another origin differs from the caller's: only the namespace, also the boot, or the machine too. */
export type Distance = "namespace" | "boot" | "machine";

const BOOT = "/proc/sys/kernel/random/boot_id", MACHINE = "/etc/machine-id";
const DIGITS = 8;

let own: string | undefined;

function digitsOf(file: string): string {
  return readSmallFile(file)?.slice(0, DIGITS).padStart(DIGITS, "0") ?? "0".repeat(DIGITS);
}

/** Returns the inode of the caller's namespace of a kind in hexadecimal; 0 if the kernel lacks that kind. */
function namespace(kind: string): string {
  const link = readLink(`/proc/self/ns/${kind}`) ?? "";
  return Number(link.slice(link.indexOf("[") + 1, -1)).toString(16);
}

/**
 * Returns the caller's origin `MACHINE.BOOT.PIDNS.TIMENS`: the first digits of the machine's and the boot's id, and the
 * inodes of the namespaces. It is short, since {@linkcode encodeIdentity} writes it into the target of a symbolic link.
 *
 * @throws {ContainerError} `no-proc` if /proc does not show the processes of the caller's PID namespace.
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

/** Compares another origin with the caller's. */
export function distanceOf(origin: string): Distance {
  const [machine, boot] = origin.split("."), [ownMachine, ownBoot] = ownOrigin().split(".");
  return boot === ownBoot ? "namespace" : machine === ownMachine ? "boot" : "machine";
}

/** Identifies a live process; returns undefined if it has ended, even if it is still a zombie. */
export function identifyProcess(pid: number): Required<ProcessIdentity> | undefined {
  const text = readSmallFile(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // The command name in the second field may itself contain blanks and parentheses.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X"
    ? undefined
    : { pid, startTime: Number(fields[19]), origin: ownOrigin() };
}

/** Reports whether a process is visible to the caller and still alive. */
export function isAlive({ pid, startTime, origin = ownOrigin() }: ProcessIdentity): boolean {
  return origin === ownOrigin() && identifyProcess(pid)?.startTime === startTime;
}

/** Reports whether a process was identified in another origin, so that the caller cannot see it. */
export function isUnseen({ origin = ownOrigin() }: ProcessIdentity): boolean {
  return origin !== ownOrigin();
}

/**
 * Encodes an identity as the target of a symbolic link: `ORIGIN PID.START`. Short, so that the link needs no disk
 * block.
 */
export function encodeIdentity({ pid, startTime, origin = ownOrigin() }: ProcessIdentity): string {
  return `${origin} ${pid}.${startTime}`;
}

/** Decodes what {@linkcode encodeIdentity} wrote; returns undefined for anything else. */
export function decodeIdentity(text: string): Required<ProcessIdentity> | undefined {
  const [, origin, pid, startTime] = /^(\w+\.\w+\.\w+\.\w+) (\d+)\.(\d+)$/.exec(text) ?? [];
  return origin === undefined ? undefined : { pid: Number(pid), startTime: Number(startTime), origin };
}
