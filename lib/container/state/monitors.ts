/**
 * Finding the monitors of detached containers by what they have open, where no mark tells of them.
 *
 * @module
 */

import { readLink, readSmallFile } from "../../../ffi/fs/paths.ts";
import { signalProcess, waitForExit } from "./process_handle.ts";
import { identifyProcess, type ProcessIdentity } from "../../host/process_identity.ts";
import { namesIn } from "../../host/sample.ts";
import { SIGKILL, SIGTERM } from "../../../ffi/process/process.ts";

/** A monitor of this PID namespace. */
export interface Monitor {
  /** Its process. */
  readonly mark: ProcessIdentity;
  /** The id of its container. */
  readonly id: string;
  /** The container's folder, where it is or was. */
  readonly folder: string;
  /** Whether somebody has removed that folder. */
  readonly isGone: boolean;
}

const FOLDER = /^(\/.*\/([0-9a-f]{12}))( \(deleted\))?$/;

function monitorAt(pid: number): Monitor | undefined {
  if (!readSmallFile(`/proc/${pid}/cmdline`)?.startsWith("sauropod-monitor\0")) return undefined;
  const mark = identifyProcess(pid);
  for (const fd of mark ? namesIn(`/proc/${pid}/fd`) : []) {
    const [, folder, id, deleted] = FOLDER.exec(readLink(`/proc/${pid}/fd/${fd}`) ?? "") ?? [];
    if (mark && folder !== undefined && id !== undefined) return { mark, id, folder, isGone: deleted !== undefined };
  }
  return undefined;
}

function processes(): number[] {
  return namesIn("/proc").map(Number).filter((pid) => pid > 0);
}

/** The process that has started another one; 0 if that is gone. */
export function parentOf(pid: number): number {
  const stat = readSmallFile(`/proc/${pid}/stat`) ?? "";
  return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1] ?? 0);
}

/** All monitors that this PID namespace shows. */
export function findMonitors(): Monitor[] {
  const found = processes().flatMap((pid) => monitorAt(pid) ?? []), pids = new Set(found.map(({ mark }) => mark.pid));
  // A container's process looks like its monitor until it executes its command.
  return found.filter(({ mark }) => !pids.has(parentOf(mark.pid)));
}

/** The first process of the container of a monitor: the one that is number 1 in its own PID namespace. */
export function firstOf(monitor: number): ProcessIdentity | undefined {
  const first = processes().find((pid) =>
    parentOf(pid) === monitor && /^NSpid:\t\d+(?:\t\d+)*\t1$/m.test(readSmallFile(`/proc/${pid}/status`) ?? "")
  );
  return first === undefined ? undefined : identifyProcess(first);
}

const PATIENCE_MS = 5000;

/**
 * Ends the container of a monitor whose folder is gone. The monitor takes away what must not stay, as at any other end;
 * if it does not end itself, it is killed.
 */
export async function endOrphan({ mark }: Monitor): Promise<void> {
  await signalProcess(mark, SIGTERM);
  const first = firstOf(mark.pid);
  if (first) await signalProcess(first, SIGKILL);
  if (!await waitForExit(mark, PATIENCE_MS)) await signalProcess(mark, SIGKILL);
}
