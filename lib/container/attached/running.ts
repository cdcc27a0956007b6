/**
 * Lookup of running containers, pinned by a pidfd.
 *
 * @module
 */

import { close } from "../../../ffi/fs/fs.ts";
import { openProcess } from "../../../ffi/process/process.ts";
import { lazy } from "../../lazy.ts";
import { findContainer } from "../state/names.ts";
import { type ContainerRecord, statusOf } from "../state/record.ts";
import { isAlive } from "../../host/process_identity.ts";
import { readOwnership } from "../state/ownership.ts";
import { notRunning, paused, requireVisibleOwner } from "../state/errors.ts";

/** A running container. */
export interface Running {
  /** Its record. */
  readonly record: ContainerRecord;
  /** The PID of its first process. */
  readonly pid: number;
  /** A pidfd of it; the caller closes it. */
  readonly pidfd: number;
}

// A process that joins a frozen group is frozen itself.
async function refusePaused(containers: string, { id, cgroups }: ContainerRecord): Promise<void> {
  if (cgroups.length === 0) return;
  const { isFrozen } = await lazy.freezer();
  if (!isFrozen(cgroups)) return;
  const { withFreezeLock } = await lazy.freeze();
  if (!await withFreezeLock(containers, id, () => isFrozen(cgroups))) return;
  throw paused(id);
}

/**
 * Returns the running container that `query` names.
 *
 * @throws {ContainerError} `container-not-running`, `container-paused`, and what `findContainer` throws.
 */
export async function findRunning(containers: string, query: string): Promise<Running> {
  const record = findContainer(containers, query);
  const liveness = readOwnership(containers, record.id);
  requireVisibleOwner(containers, record.id, liveness);
  const status = statusOf(record, liveness);
  const process = liveness?.process;
  if (status !== "running" || !process) throw notRunning(record.id, status);
  await refusePaused(containers, record);
  let pidfd: number;
  try {
    pidfd = openProcess(process.pid);
  } catch {
    throw notRunning(record.id, "exited");
  }
  // The pidfd pins the process: from here on the PID cannot be reused.
  if (isAlive(process)) return { record, pid: process.pid, pidfd };
  close(pidfd);
  throw notRunning(record.id, "exited");
}
