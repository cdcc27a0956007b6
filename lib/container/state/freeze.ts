/**
 * Ownership of a freeze: tells a temporary one (fork, commit) from a user's `pause`. A temporary freeze has a mark,
 * `.live/ID.freeze`, of the process that copies files: after that is killed, the next command thaws the container. A
 * paused container has no mark.
 *
 * @module
 */

import { freezeGroups, isFrozen, thawGroups } from "../../cgroup/freezer.ts";
import { sleep } from "../../host/poll.ts";
import { thawed } from "./errors.ts";
import {
  type ContainerRecord,
  type ContainerStatus,
  ownerIsAlive,
  type Ownership,
  readRecord,
  statusOf,
} from "./record.ts";
import { requireRunning } from "./running.ts";
import { clearFreeze, freezerOf, setFreezer, withMarks } from "./ownership.ts";

/** State of a container as `ps` shows it. */
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

/** Returns whether a running container is frozen, or about to be. Reads files only if it has control groups. */
export function isPaused({ cgroups }: Pick<ContainerRecord, "cgroups">): boolean {
  return cgroups.length > 0 && isFrozen(cgroups);
}

/** Returns the state of a container, with `paused` read from its control groups. */
export function shownStatusOf(record: ContainerRecord, ownership: Ownership | undefined): ShownStatus {
  const status = statusOf(record, ownership);
  return status === "running" && isPaused(record) ? "paused" : status;
}

/**
 * Runs `work` while all processes of a running container are frozen. A container that the user has paused stays paused; any
 * other is thawed afterwards, by the next command if this process is killed meanwhile.
 *
 * @throws {ContainerError} `container-not-running`; `container-thawed` if it ran during the work.
 * @throws {CgroupError} `freezer-missing`, `freeze-timeout`, or if a group cannot be created; the container runs then.
 */
export async function whileFrozen<T>(containers: string, record: ContainerRecord, work: () => T): Promise<T> {
  const { id, cgroups } = requireRunning(containers, record).record;
  const claimed = await claimFreeze(containers, id, cgroups);
  try {
    await freezeGroups(cgroups);
    const result = work();
    if (!isFrozen(cgroups)) throw thawed(id);
    return result;
  } finally {
    if (claimed) {
      thawGroups(cgroups);
      clearFreeze(containers, id);
    }
  }
}
