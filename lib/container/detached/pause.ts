/**
 * Pausing and unpausing containers with the freezer of their control groups.
 *
 * @module
 */

import { freezeGroups, isFrozen, thawGroups } from "../../cgroup/freezer.ts";
import { ContainerError } from "../../errors.ts";
import { notPaused, paused } from "../state/errors.ts";
import { recordEvent } from "../state/event.ts";
import { claimFreeze, withFreezeLock } from "../state/freeze.ts";
import { requireRunning } from "../state/running.ts";
import { findContainer } from "../state/names.ts";
import { type ContainerRecord, type ContainerStatus, type Ownership, statusOf } from "../state/record.ts";
import { clearFreeze } from "../state/ownership.ts";

/** What a container is doing, as people are told. */
export type ShownStatus = ContainerStatus | "paused";

/** Whether a container that runs is frozen, or about to be. Looks only where it has control groups. */
export function isPaused({ cgroups }: Pick<ContainerRecord, "cgroups">): boolean {
  return cgroups.length > 0 && isFrozen(cgroups);
}

/** What a container is doing now, asking the kernel whether it is paused. */
export function shownStatusOf(record: ContainerRecord, ownership: Ownership | undefined): ShownStatus {
  const status = statusOf(record, ownership);
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

/**
 * Pauses a container: suspends all its processes until {@linkcode unpauseContainer} is called.
 *
 * @param query Its name, id or a unique prefix of its id.
 * @throws {ContainerError} `container-not-found`, `container-not-running`, `container-paused`.
 * @throws {CgroupError} as {@linkcode whileFrozen} does.
 */
export async function pauseContainer(containers: string, query: string): Promise<void> {
  const { record } = requireRunning(containers, findContainer(containers, query)), { id, cgroups } = record;
  await withFreezeLock(containers, id, () => {
    if (!isFrozen(cgroups)) return freezeGroups(cgroups);
    throw paused(id);
  });
  recordEvent(containers, "pause", record);
}

/**
 * Resumes all processes of a paused container.
 *
 * @param query Its name, id or a unique prefix of its id.
 * @throws {ContainerError} `container-not-found`, `container-not-running`, `container-not-paused`.
 */
export async function unpauseContainer(containers: string, query: string): Promise<void> {
  const record = findContainer(containers, query), { id, cgroups } = record;
  requireRunning(containers, record);
  await withFreezeLock(containers, id, () => {
    if (isPaused(record)) return thawGroups(cgroups);
    throw notPaused(id);
  });
  recordEvent(containers, "unpause", record);
}
