/**
 * Pausing and unpausing containers with the freezer of their control groups.
 *
 * @module
 */

import { freezeGroups, isFrozen, thawGroups } from "../../cgroup/freezer.ts";
import { notPaused, paused } from "../state/errors.ts";
import { recordEvent } from "../state/event.ts";
import { isPaused, withFreezeLock } from "../state/freeze.ts";
import { requireRunning } from "../state/running.ts";
import { findContainer } from "../state/names.ts";

/**
 * Pauses a container: suspends all its processes until {@linkcode unpauseContainer} is called.
 *
 * @param query Its name, id or a unique prefix of its id.
 * @throws {ContainerError} `container-not-found`, `container-not-running`, `container-paused`.
 * @throws {CgroupError} as `whileFrozen` does.
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
