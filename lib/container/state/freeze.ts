/**
 * Ownership of a freeze: tells a temporary one (fork, commit) from a user's `pause`. A temporary freeze has a mark,
 * `.live/ID.freeze`, of the process that copies files: after that is killed, the next command thaws the container. A
 * paused container has no mark.
 *
 * @module
 */

import { isFrozen, thawGroups } from "../../cgroup/freezer.ts";
import { sleep } from "../../host/poll.ts";
import { ownerIsAlive, readRecord } from "./record.ts";
import { clearFreeze, freezerOf, setFreezer, withMarks } from "./ownership.ts";

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
export function claimFreeze(containers: string, id: string, groups: readonly string[]): Promise<boolean> {
  return withFreezeLock(containers, id, () => {
    if (isFrozen(groups)) return false;
    setFreezer(containers, id);
    return true;
  });
}
