/**
 * Freezing the processes of containers, and letting them run again.
 *
 * @module
 */

import { freezeGroups, isFrozen, thawGroups } from "../../cgroup/freezer.ts";
import { ContainerError } from "../../errors.ts";
import { recordEvent } from "../state/event.ts";
import { isPaused, withFreezeLock } from "../state/freeze.ts";
import { requireRunning } from "../state/runtime_groups.ts";
import { findContainer } from "../state/names.ts";

/**
 * Pauses a container: freezes all its processes until {@linkcode unpauseContainer} is called.
 *
 * @param query Its name, id or the beginning of its id.
 * @throws {ContainerError} `container-not-found`, `container-not-running`, `container-paused`.
 * @throws {CgroupError} as {@linkcode whileFrozen} does.
 */
export async function pauseContainer(containers: string, query: string): Promise<void> {
  const { record } = requireRunning(containers, findContainer(containers, query)), { id, cgroups } = record;
  await withFreezeLock(containers, id, () => {
    if (!isFrozen(cgroups)) return freezeGroups(cgroups);
    throw new ContainerError(`container ${id} is paused already`, {
      code: "container-paused",
      facts: { id },
      hint: `sauropod unpause ${query} lets it run again`,
    });
  });
  recordEvent(containers, "pause", record);
}

/**
 * Lets a paused container run again.
 *
 * @param query Its name, id or the beginning of its id.
 * @throws {ContainerError} `container-not-found`, `container-not-running`, `container-not-paused`.
 */
export async function unpauseContainer(containers: string, query: string): Promise<void> {
  const record = findContainer(containers, query), { id, cgroups } = record;
  requireRunning(containers, record);
  await withFreezeLock(containers, id, () => {
    if (isPaused(record)) return thawGroups(cgroups);
    throw new ContainerError(`container ${id} is not paused`, { code: "container-not-paused", facts: { id } });
  });
  recordEvent(containers, "unpause", record);
}
