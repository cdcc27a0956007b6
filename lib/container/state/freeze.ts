/**
 * Whose a freeze is. A container that is frozen while its files are copied has a mark, `.live/ID.freeze`, of the process
 * that copies: when that is killed, the next command lets the container run again. One that the user has paused is
 * frozen without a mark.
 *
 * @module
 */

import { isFrozen, thawGroups } from "../../cgroup/freezer.ts";
import { ownerIsAlive, readRecord } from "./record.ts";
import { clearFreeze, freezerOf, setFreezer, withMarks } from "./ownership.ts";

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
export function claimFreeze(containers: string, id: string, groups: readonly string[]): Promise<boolean> {
  return withFreezeLock(containers, id, () => {
    if (isFrozen(groups)) return false;
    setFreezer(containers, id);
    return true;
  });
}
