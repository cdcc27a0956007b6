/**
 * What a container leaves when its processes are gone, and how a later command takes it away.
 *
 * @module
 */

import { now } from "../../host/clock.ts";
import { thawGroups } from "../../cgroup/freezer.ts";
import { killGroup, removeGroups } from "../../cgroup/remove.ts";
import { messageOf } from "../../errors.ts";
import { hasEndedLeases, releaseLeases } from "../../network/reserve.ts";
import { groupsOf } from "./damaged.ts";
import { recordEvent } from "./event.ts";
import { thawAbandoned } from "./freeze.ts";
import { removeStaleLayers } from "./fork_layers.ts";
import { endOrphan, findMonitors, firstOf, type Monitor } from "./monitors.ts";
import { listContainers, orphanedIds, removeStaleNames } from "./names.ts";
import {
  awaitsCommand,
  type ContainerRecord,
  isRunning,
  lastRecord,
  type Ownership,
  readRecord,
  withRecord,
  writeRecord,
} from "./record.ts";
import { isAlive, type ProcessIdentity } from "../../host/process_identity.ts";
import {
  abandonedIds,
  clearLiveness,
  damagedMarks,
  readOwnership,
  removeContainer,
  removeStaleMarks,
  takeOver,
} from "./ownership.ts";
import { SAMPLE } from "../../host/sample.ts";
import { SIGKILL } from "../../../ffi/process/process.ts";

/** What {@linkcode reclaim} did. */
export interface Reclaimed {
  /** Ids of containers whose end nobody saw and that were to be kept. */
  ended: string[];
  /** Ids of containers that were removed. */
  removed: string[];
  /** Ids of containers whose record or marks are damaged, which are left alone. */
  damaged: string[];
  /** What could not be taken away, and why; the next time it is tried again. */
  failed: { id: string; reason: string }[];
}

const RELEASE_MS = 2000;

/** Kills the first process of a container, and so all of them, and waits for its death; not for ever. */
async function killFirst(process: ProcessIdentity, cgroups: readonly string[]): Promise<void> {
  try {
    Deno.kill(process.pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  // What v1 has frozen dies only when it runs again.
  thawGroups(cgroups);
  const deadline = performance.now() + RELEASE_MS;
  while (isAlive(process) && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** Kills what still runs of a container, and removes its control groups. */
export async function endContainer(containers: string, record: ContainerRecord, liveness?: Ownership): Promise<void> {
  if (liveness?.process && isRunning(liveness)) await killFirst(liveness.process, record.cgroups);
  // It may have been given more groups meanwhile. Now that it is dead it is not.
  const { cgroups } = lastRecord(`${containers}/${record.id}`, record);
  cgroups.forEach((group) => killGroup(group));
  removeGroups(cgroups);
}

/** Finishes one container whose owner is gone; nobody else does so. */
async function finish(containers: string, id: string, liveness: Ownership | undefined): Promise<"ended" | "removed"> {
  const record = readRecord(`${containers}/${id}`);
  if (record) await endContainer(containers, record, liveness);
  if (record && liveness?.process && !record.ended) {
    recordEvent(containers, "die", record, { exitCode: 128 + SIGKILL, signal: SIGKILL, lost: true });
  }
  if (!record?.keep || (awaitsCommand(record) && !liveness?.process)) {
    await removeContainer(containers, record ?? { id });
    return "removed";
  }
  if (!record.ended) {
    const ended = { at: now(), code: 128 + SIGKILL, signal: SIGKILL, lost: true } as const;
    const folder = `${containers}/${id}`;
    withRecord(folder, (current) => writeRecord(folder, { ...current, ended }));
  }
  clearLiveness(containers, id);
  return "ended";
}

/**
 * Finishes containers whose owner is gone, but for those that another command finishes or that are damaged. What was left
 * frozen runs again.
 */
async function finishAll(containers: string, ids: readonly string[], damaged: string[]): Promise<Reclaimed> {
  const result: Reclaimed = { ended: [], removed: [], damaged, failed: [] };
  for (const id of ids) {
    if (damaged.includes(id)) continue;
    try {
      thawAbandoned(containers, id);
      const liveness = readOwnership(containers, id);
      if (liveness ? !takeOver(containers, id) : readRecord(`${containers}/${id}`)) continue;
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
  for (const id of damagedMarks(containers)) if (!damaged.includes(id)) damaged.push(id);
  const result = await finishAll(containers, [...abandonedIds(containers), ...orphanedIds(containers)], damaged);
  removeStaleNames(containers);
  if (result.damaged.length === 0) await removeStaleLayers(containers, listContainers(containers));
  removeStaleMarks(containers);
  const gone = [...result.ended, ...result.removed];
  if (gone.length > 0 || hasEndedLeases()) await releaseLeases(gone, Infinity);
  return result;
}

/** Monitors of containers that run, although somebody has removed their folder: no command finds them. */
export function findOrphans(): Monitor[] {
  return findMonitors().filter(({ isGone, mark }) => isGone && firstOf(mark.pid) !== undefined);
}

/** Ends what {@linkcode findOrphans} has found, and gives its places on networks back. Returns the containers' ids. */
export async function endOrphans(): Promise<string[]> {
  const orphans = findOrphans(), ids = orphans.map(({ id }) => id);
  for (const orphan of orphans) await endOrphan(orphan);
  for (const id of ids) removeGroups(groupsOf(id, undefined));
  if (ids.length > 0) await releaseLeases(ids, Infinity);
  return ids;
}

/** A few containers that killed commands left, chosen at random: what a command looks for on its way. `but` is none. */
export function someAbandoned(containers: string, but: string): readonly string[] {
  try {
    return abandonedIds(containers, SAMPLE, but);
  } catch {
    // It must not hurt the command; gc says what is wrong.
    return [];
  }
}

/** Takes away what killed commands left of these containers. */
export async function reclaimThese(containers: string, ids: readonly string[]): Promise<void> {
  const { ended, removed } = await finishAll(containers, ids, []);
  if (ended.length + removed.length > 0) await releaseLeases([...ended, ...removed]);
}
