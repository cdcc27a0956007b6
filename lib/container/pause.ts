/**
 * Freezing the processes of containers, and letting them run again.
 *
 * @module
 */

import { canFreeze, freezeGroups, isFrozen, thawGroups } from "../cgroup/freezer.ts";
import { detectCgroups } from "../cgroup/host.ts";
import { groupName, planCgroups } from "../cgroup/plan.ts";
import { ContainerError } from "../errors.ts";
import { ensureGroups, requireRunning } from "./groups.ts";
import { findContainer } from "./names.ts";
import { type ContainerRecord, type ContainerStatus, type Liveness, statusOf, withRecord } from "./record.ts";

/** What a container is doing, as people are told. */
export type ShownStatus = ContainerStatus | "paused";

/** Whether a container that runs is frozen, or about to be. Looks only where it has control groups. */
export function isPaused({ cgroups }: Pick<ContainerRecord, "cgroups">): boolean {
  return cgroups.length > 0 && isFrozen(cgroups);
}

/** What a container is doing now, asking the kernel whether it is paused. */
export function shownStatusOf(record: ContainerRecord, liveness: Liveness | undefined): ShownStatus {
  const status = statusOf(record, liveness);
  return status === "running" && isPaused(record) ? "paused" : status;
}

function notFound({ id }: ContainerRecord): ContainerError {
  return new ContainerError(`container ${id} has been removed meanwhile`, {
    code: "container-not-found",
    facts: { id },
  });
}

/** Gives a container a group that can be frozen, if it has none. */
function makeFreezable(containers: string, record: ContainerRecord): ContainerRecord {
  if (canFreeze(record.cgroups) && !record.joining?.length) return requireRunning(containers, record).record;
  const changed = withRecord(`${containers}/${record.id}`, (current) => {
    const running = requireRunning(containers, current);
    const host = detectCgroups();
    const options = { parent: current.options.cgroupParent, freezable: true };
    return ensureGroups(containers, host, running, planCgroups(host, groupName(current.id), {}, options).groups);
  });
  if (changed) return changed;
  throw notFound(record);
}

/**
 * Freezes all processes of a container that runs, and resolves when they are frozen. Returns what lets them run again,
 * which does nothing if the container was paused before.
 *
 * @throws {ContainerError} `container-not-running`.
 * @throws {CgroupError} `freezer-missing`, `freeze-timeout`, or if a group cannot be made; everything runs then.
 */
export async function freeze(containers: string, record: ContainerRecord): Promise<() => void> {
  const { cgroups } = makeFreezable(containers, record);
  const paused = isFrozen(cgroups);
  await freezeGroups(cgroups);
  return paused ? () => {} : () => thawGroups(cgroups);
}

/**
 * Pauses a container: freezes all its processes until {@linkcode unpauseContainer} is called.
 *
 * @param query Its name, id or the beginning of its id.
 * @throws {ContainerError} `container-not-found`, `container-not-running`, `container-paused`.
 * @throws {CgroupError} as {@linkcode freeze} does.
 */
export async function pauseContainer(containers: string, query: string): Promise<void> {
  const record = findContainer(containers, query);
  requireRunning(containers, record);
  if (isPaused(record)) {
    throw new ContainerError(`container ${record.id} is paused already`, {
      code: "container-paused",
      facts: { id: record.id },
      hint: `sauropod unpause ${query} lets it run again`,
    });
  }
  await freeze(containers, record);
}

/**
 * Lets a paused container run again.
 *
 * @param query Its name, id or the beginning of its id.
 * @throws {ContainerError} `container-not-found`, `container-not-running`, `container-not-paused`.
 */
export function unpauseContainer(containers: string, query: string): void {
  const record = findContainer(containers, query);
  requireRunning(containers, record);
  if (!isPaused(record)) {
    throw new ContainerError(`container ${record.id} is not paused`, {
      code: "container-not-paused",
      facts: { id: record.id },
    });
  }
  thawGroups(record.cgroups);
}
