/**
 * Containers that run, for what works only on those.
 *
 * @module
 */

import { ContainerError } from "../../errors.ts";
import { type ContainerRecord, statusOf } from "./record.ts";
import type { ProcessIdentity } from "../../host/process_identity.ts";
import { readOwnership } from "./ownership.ts";
import { refuseUnseen } from "./unseen.ts";

/** A container that runs, and its first process. */
export interface Running {
  /** Its record. */
  readonly record: ContainerRecord;
  /** Its first process. */
  readonly process: ProcessIdentity;
}

/**
 * Makes sure that a container runs, frozen or not.
 *
 * @throws {ContainerError} `container-not-running`.
 */
export function requireRunning(containers: string, record: ContainerRecord): Running {
  const liveness = readOwnership(containers, record.id);
  refuseUnseen(containers, record.id, liveness);
  if (liveness?.process && statusOf(record, liveness) === "running") return { record, process: liveness.process };
  throw new ContainerError(`container ${record.id} does not run`, {
    code: "container-not-running",
    facts: { id: record.id, status: statusOf(record, liveness) },
    hint: "sauropod ps lists those that do",
  });
}
