/**
 * Running containers, for commands that work only on those.
 *
 * @module
 */

import { notRunning, requireVisibleOwner } from "./errors.ts";
import { readOwnership } from "./ownership.ts";
import { type ContainerRecord, statusOf } from "./record.ts";
import type { ProcessIdentity } from "../../host/process_identity.ts";

/** A running container and its first process. */
export interface Running {
  /** Its record. */
  readonly record: ContainerRecord;
  /** Its first process. */
  readonly process: ProcessIdentity;
}

/**
 * Checks that a container runs, paused or not, and returns its first process with it.
 *
 * @throws {ContainerError} `container-not-running`.
 */
export function requireRunning(containers: string, record: ContainerRecord): Running {
  const ownership = readOwnership(containers, record.id), status = statusOf(record, ownership);
  requireVisibleOwner(containers, record.id, ownership);
  if (ownership?.process && status === "running") return { record, process: ownership.process };
  throw notRunning(record.id, status);
}
