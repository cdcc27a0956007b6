/**
 * What a container leaves when its processes are gone, and how a later command takes it away.
 *
 * @module
 */

import { killGroup, removeGroups } from "../cgroup/remove.ts";
import { type ContainerRecord, isAlive, markProcess, readRecord, writeRecord } from "./record.ts";
import { abandonedFolders, listContainers, removeContainer, removeStaleNames } from "./store.ts";

const SIGKILL = 9;

/** What {@linkcode reclaim} did. */
export interface Reclaimed {
  /** Ids of containers whose end nobody saw and that were to be kept. */
  ended: string[];
  /** Ids and folders that were removed. */
  removed: string[];
  /** Ids of folders with a damaged record, which are left alone. */
  damaged: string[];
}

function killRemaining(record: ContainerRecord): void {
  if (record.process && isAlive(record.process)) {
    try {
      Deno.kill(record.process.pid, "SIGKILL");
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  record.cgroups.forEach((group) => killGroup(group));
}

/** Kills what still runs of a container, and removes its control groups. */
export function endContainer(record: ContainerRecord): void {
  killRemaining(record);
  removeGroups(record.cgroups);
}

/** Finishes one container whose owner is gone. Returns what became of it, or undefined if its owner lives. */
function finish(containers: string, record: ContainerRecord): "ended" | "removed" | undefined {
  if (record.ended || isAlive(record.owner)) return undefined;
  endContainer(record);
  if (!record.keep) {
    removeContainer(containers, record);
    return "removed";
  }
  const at = new Date().toISOString();
  writeRecord(`${containers}/${record.id}`, {
    ...record,
    ended: { at, code: 128 + SIGKILL, signal: SIGKILL, lost: true },
  });
  return "ended";
}

/** Takes away what ended or killed commands left in `containers`. Always safe to run. */
export function reclaim(containers: string): Reclaimed {
  const result: Reclaimed = { ended: [], removed: [], damaged: [] };
  for (const record of listContainers(containers, (id) => result.damaged.push(id))) {
    const outcome = finish(containers, record);
    if (outcome) result[outcome].push(record.id);
  }
  for (const folder of abandonedFolders(containers, isProcess)) {
    const record = readRecord(folder);
    if (record) endContainer(record);
    Deno.removeSync(folder, { recursive: true });
    result.removed.push(folder.slice(folder.lastIndexOf("/") + 1));
  }
  removeStaleNames(containers);
  return result;
}

function isProcess(pid: number, startTime: number): boolean {
  return markProcess(pid)?.startTime === startTime;
}
