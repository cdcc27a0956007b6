/**
 * Whose a freeze is. A container that is frozen while its files are copied has a mark, `.live/ID.freeze`, of the process
 * that copies: when that is killed, the next command lets the container run again. One that the user has paused is
 * frozen without a mark.
 *
 * @module
 */

import { freezeGroups, isFrozen, thawGroups } from "../../cgroup/freezer.ts";
import { ContainerError } from "../../errors.ts";
import {
  type ContainerRecord,
  type ContainerStatus,
  ownerIsAlive,
  type Ownership,
  readRecord,
  statusOf,
} from "./record.ts";
import { requireRunning } from "./runtime_groups.ts";
import { clearFreeze, freezerOf, setFreezer, withMarks } from "./ownership.ts";

/** What a container is doing, as people are told. */
export type ShownStatus = ContainerStatus | "paused";

const POLL_MS = 5;

/** Whether nobody alive has a container frozen for a moment. What one who is gone has frozen runs again then. */
function releaseStaleFreeze(containers: string, id: string): boolean {
  const freezer = freezerOf(containers, id);
  if (!freezer) return true;
  if (ownerIsAlive(freezer)) return false;
  thawGroups(readRecord(`${containers}/${id}`)?.cgroups ?? []);
  clearFreeze(containers, id);
  return true;
}

/** Lets a container run again that a process which is gone has frozen for a moment. */
export function thawAbandoned(containers: string, id: string): void {
  if (freezerOf(containers, id)) withMarks(containers, () => releaseStaleFreeze(containers, id));
}

/** Runs `work` when nobody has a container frozen for a moment, and keeps others from it meanwhile. Waits for them. */
export async function withFreezeLock<T>(containers: string, id: string, work: () => T): Promise<Awaited<T>> {
  for (;;) {
    const done = withMarks(containers, () => releaseStaleFreeze(containers, id) ? { value: work() } : undefined);
    if (done) return await done.value;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/**
 * Says that a container is ours to freeze for a moment. False if the user has paused it, so that it is frozen already
 * and stays so.
 */
function claimFreeze(containers: string, id: string, groups: readonly string[]): Promise<boolean> {
  return withFreezeLock(containers, id, () => {
    if (isFrozen(groups)) return false;
    setFreezer(containers, id);
    return true;
  });
}

/** Whether a container that runs is frozen, or about to be. Looks only where it has control groups. */
export function isPaused({ cgroups }: Pick<ContainerRecord, "cgroups">): boolean {
  return cgroups.length > 0 && isFrozen(cgroups);
}

/** What a container is doing now, asking the kernel whether it is paused. */
export function shownStatusOf(record: ContainerRecord, liveness: Ownership | undefined): ShownStatus {
  const status = statusOf(record, liveness);
  return status === "running" && isPaused(record) ? "paused" : status;
}

/**
 * Does `work` while all processes of a container that runs are frozen. One that the user has paused stays so; any other
 * runs again then, also when this process is killed meanwhile: at the next command.
 *
 * @throws {ContainerError} `container-not-running`; `container-thawed` if it ran during the work.
 * @throws {CgroupError} `freezer-missing`, `freeze-timeout`, or if a group cannot be made; everything runs then.
 */
export async function whileFrozen<T>(containers: string, record: ContainerRecord, work: () => T): Promise<T> {
  const { id, cgroups } = requireRunning(containers, record).record;
  const ours = await claimFreeze(containers, id, cgroups);
  try {
    await freezeGroups(cgroups);
    const result = work();
    if (isFrozen(cgroups)) return result;
    throw new ContainerError(`container ${id} was stopped, or let run again, while it was copied`, {
      code: "container-thawed",
      facts: { id },
      hint: "try again",
    });
  } finally {
    if (ours) {
      thawGroups(cgroups);
      clearFreeze(containers, id);
    }
  }
}
