/**
 * Monitors of detached containers, found by their open descriptors where ownership marks are missing or damaged.
 *
 * @module
 */

import { readLink, readSmallFile } from "../../../ffi/fs/paths.ts";
import { SIGKILL, SIGTERM, statFields } from "../../../ffi/process/process.ts";
import { signalProcess, waitForExit } from "./process_handle.ts";
import { identifyProcess, type ProcessIdentity } from "../../host/process_identity.ts";
import { namesIn } from "../../host/sample.ts";

/** A monitor of this PID namespace. */
export interface Monitor {
  /** Its process. */
  readonly identity: ProcessIdentity;
  /** The id of its container. */
  readonly id: string;
  /** The container's directory, which may have been removed. */
  readonly folder: string;
  /** Whether that directory has been removed. */
  readonly isGone: boolean;
}

const FOLDER = /^(\/.*\/([0-9a-f]{12}))( \(deleted\))?$/;

/** Returns whether a process is the monitor of a container, not a command that starts, finishes or removes one. */
export function isMonitor(pid: number): boolean {
  return readSmallFile(`/proc/${pid}/cmdline`)?.startsWith("sauropod-monitor\0") === true;
}

function monitorAt(pid: number): Monitor | undefined {
  if (!isMonitor(pid)) return undefined;
  const identity = identifyProcess(pid);
  for (const fd of identity ? namesIn(`/proc/${pid}/fd`) : []) {
    const [, folder, id, deleted] = FOLDER.exec(readLink(`/proc/${pid}/fd/${fd}`) ?? "") ?? [];
    if (identity && folder !== undefined && id !== undefined) {
      return { identity, id, folder, isGone: deleted !== undefined };
    }
  }
  return undefined;
}

function processes(): number[] {
  return namesIn("/proc").map(Number).filter((pid) => pid > 0);
}

/** Returns the parent of a process; 0 if the process is gone. */
export function parentOf(pid: number): number {
  return Number(statFields(readSmallFile(`/proc/${pid}/stat`) ?? "")[4] ?? 0);
}

/** Returns all monitors that this PID namespace shows. */
export function findMonitors(): Monitor[] {
  const found = processes().flatMap((pid) => monitorAt(pid) ?? []),
    pids = new Set(found.map(({ identity }) => identity.pid));
  // A container's process looks like a monitor until it executes its command.
  return found.filter(({ identity }) => !pids.has(parentOf(identity.pid)));
}

/** Returns the first process of a monitor's container: PID 1 of its own PID namespace. */
export function firstOf(monitor: number): ProcessIdentity | undefined {
  const first = processes().find((pid) =>
    parentOf(pid) === monitor && /^NSpid:\t\d+(?:\t\d+)*\t1$/m.test(readSmallFile(`/proc/${pid}/status`) ?? "")
  );
  return first === undefined ? undefined : identifyProcess(first);
}

const EXIT_MS = 5000;

/**
 * Kills the container of a monitor whose directory was removed. The monitor cleans up as after any exit; if it does not
 * exit itself, it is killed.
 */
export async function endOrphan({ identity }: Monitor): Promise<void> {
  await signalProcess(identity, SIGTERM);
  const first = firstOf(identity.pid);
  if (first) await signalProcess(first, SIGKILL);
  if (!await waitForExit(identity, EXIT_MS)) await signalProcess(identity, SIGKILL);
}
