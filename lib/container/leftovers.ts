/**
 * What a container leaves when its processes are gone, and how a later command takes it away.
 *
 * @module
 */

import { killGroup, removeGroups } from "../cgroup/remove.ts";
import { leave, leftNetworks } from "../network/attach.ts";
import { recordEvent } from "./event.ts";
import { listContainers, orphanedIds, removeStaleNames } from "./names.ts";
import { type ContainerRecord, isRunning, type Liveness, readRecord, writeRecord } from "./record.ts";
import { abandonedIds, clearLiveness, livenessOf, removeContainer } from "./store.ts";

const SIGKILL = 9;

/** What {@linkcode reclaim} did. */
export interface Reclaimed {
  /** Ids of containers whose end nobody saw and that were to be kept. */
  ended: string[];
  /** Ids of containers that were removed. */
  removed: string[];
  /** Ids of folders with a damaged record, which are left alone. */
  damaged: string[];
}

/** Kills what still runs of a container, and removes its control groups. */
export function endContainer(record: ContainerRecord, liveness?: Liveness): void {
  if (liveness?.process && isRunning(liveness)) {
    try {
      Deno.kill(liveness.process.pid, "SIGKILL");
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  record.cgroups.forEach((group) => killGroup(group));
  removeGroups(record.cgroups);
}

/** Finishes one container whose owner is gone. */
async function finish(containers: string, id: string, liveness: Liveness | undefined): Promise<"ended" | "removed"> {
  const record = readRecord(`${containers}/${id}`);
  if (record) endContainer(record, liveness);
  if (record && liveness?.process && !record.ended) {
    recordEvent(containers, "die", record, { exitCode: 128 + SIGKILL, signal: SIGKILL, lost: true });
  }
  if (!record?.keep) {
    await removeContainer(containers, record ?? { id });
    return "removed";
  }
  if (!record.ended) {
    const ended = { at: new Date().toISOString(), code: 128 + SIGKILL, signal: SIGKILL, lost: true } as const;
    writeRecord(`${containers}/${id}`, { ...record, ended });
  }
  clearLiveness(containers, id);
  return "ended";
}

/** Takes away what ended or killed commands left in `containers`. Always safe to run. */
export async function reclaim(containers: string): Promise<Reclaimed> {
  const result: Reclaimed = { ended: [], removed: [], damaged: [] };
  listContainers(containers, (id) => result.damaged.push(id));
  for (const id of [...abandonedIds(containers), ...orphanedIds(containers)]) {
    if (!result.damaged.includes(id)) result[await finish(containers, id, livenessOf(containers, id))].push(id);
  }
  removeStaleNames(containers);
  const gone = [...result.ended, ...result.removed];
  if (gone.length > 0 || leftNetworks()) await leave(gone);
  return result;
}
