/**
 * What a container leaves when its processes are gone, and how a later command takes it away.
 *
 * @module
 */

import { killGroup, removeGroups } from "../cgroup/remove.ts";
import { messageOf } from "../errors.ts";
import { leave, leftNetworks } from "../network/attach.ts";
import { listContainers, orphanedIds, removeStaleNames } from "./names.ts";
import { type ContainerRecord, isRunning, type Liveness, readRecord, writeRecord } from "./record.ts";
import {
  abandonedIds,
  clearLiveness,
  inherit,
  isAbandoned,
  livenessOf,
  removeContainer,
  removeStaleMarks,
  SAMPLE,
} from "./store.ts";

const SIGKILL = 9;

/** What {@linkcode reclaim} did. */
export interface Reclaimed {
  /** Ids of containers whose end nobody saw and that were to be kept. */
  ended: string[];
  /** Ids of containers that were removed. */
  removed: string[];
  /** Ids of folders with a damaged record, which are left alone. */
  damaged: string[];
  /** What could not be taken away, and why; the next time it is tried again. */
  failed: { id: string; reason: string }[];
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

/** Finishes one container whose owner is gone; nobody else does so. */
async function finish(containers: string, id: string, liveness: Liveness | undefined): Promise<"ended" | "removed"> {
  const record = readRecord(`${containers}/${id}`);
  if (record) endContainer(record, liveness);
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

/** Finishes containers whose owner is gone, but for those that another command finishes or that are damaged. */
async function finishAll(containers: string, ids: readonly string[], damaged: string[]): Promise<Reclaimed> {
  const result: Reclaimed = { ended: [], removed: [], damaged, failed: [] };
  for (const id of ids) {
    const liveness = livenessOf(containers, id);
    try {
      if (damaged.includes(id) || (liveness && !inherit(containers, id))) continue;
      result[await finish(containers, id, liveness)].push(id);
    } catch (error) {
      // One that resists must not keep the others from being finished.
      result.failed.push({ id, reason: messageOf(error) });
    }
  }
  return result;
}

/** Takes away what ended or killed commands left in `containers`. Always safe to run. */
export async function reclaim(containers: string): Promise<Reclaimed> {
  const damaged: string[] = [];
  listContainers(containers, (id) => damaged.push(id));
  const result = await finishAll(containers, [...abandonedIds(containers), ...orphanedIds(containers)], damaged);
  removeStaleNames(containers);
  removeStaleMarks(containers);
  const gone = [...result.ended, ...result.removed];
  if (gone.length > 0 || leftNetworks()) await leave(gone);
  return result;
}

/**
 * What a command does on its way: takes away what killed commands left of the container `id`, and of a few others,
 * chosen at random.
 */
export async function reclaimSome(containers: string, id?: string): Promise<void> {
  const ids = new Set([...id === undefined ? [] : [id], ...abandonedIds(containers, SAMPLE)]);
  const { ended, removed } = await finishAll(containers, [...ids].filter((one) => isAbandoned(containers, one)), []);
  if (ended.length + removed.length > 0) await leave([...ended, ...removed]);
}
