/**
 * Ownership of a freeze: tells a temporary one (fork, commit) from a user's `pause`. A temporary freeze has a mark,
 * `.live/ID.freeze`, of the process that copies files: after that is killed, the next command thaws the container. A
 * paused container has no mark.
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
import { sleep } from "../../host/clock.ts";
import { requireRunning } from "./running.ts";
import { clearFreeze, freezerOf, setFreezer, withMarks } from "./ownership.ts";

/** What a container is doing, as people are told. */
export type ShownStatus = ContainerStatus | "paused";

const POLL_MS = 5;

/** Thaws a container if the process that froze it temporarily has died. Returns whether no temporary freeze remains. */
function releaseStaleFreeze(containers: string, id: string): boolean {
  const freezer = freezerOf(containers, id);
  if (!freezer) return true;
  if (ownerIsAlive(freezer)) return false;
  thawGroups(readRecord(`${containers}/${id}`)?.cgroups ?? []);
  clearFreeze(containers, id);
  return true;
}

/** Thaws a container that a process which has died froze temporarily. */
export function thawAbandoned(containers: string, id: string): void {
  if (freezerOf(containers, id)) withMarks(containers, () => releaseStaleFreeze(containers, id));
}

/** Runs `work` while no other process freezes the container temporarily. Waits for those that do. */
export async function withFreezeLock<T>(containers: string, id: string, work: () => T): Promise<Awaited<T>> {
  for (;;) {
    const done = withMarks(containers, () => releaseStaleFreeze(containers, id) ? { value: work() } : undefined);
    if (done) return await done.value;
    await sleep(POLL_MS);
  }
}

/**
 * Claims the temporary freeze of a container for this process. Returns false if the user has paused it: it is frozen
 * already and stays so.
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
