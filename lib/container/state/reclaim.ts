/**
 * Reclaiming the remains of containers whose owner was killed: processes, control groups, network leases, directories.
 *
 * @module
 */

import { SIGKILL } from "../../../ffi/process/process.ts";
import { now } from "../../host/clock.ts";
import { waitUntil } from "../../host/poll.ts";
import { thawGroups } from "../../cgroup/freezer.ts";
import { killGroup, removeGroups } from "../../cgroup/remove.ts";
import { messageOf } from "../../errors.ts";
import { hasEndedLeases, releaseLeases } from "../../network/reserve.ts";
import { damagedMarks, groupsOf } from "./damaged.ts";
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
  clearOwnership,
  readOwnership,
  removeContainer,
  removeStaleMarks,
  takeOver,
} from "./ownership.ts";
import { SAMPLE } from "../../host/sample.ts";

/** The result of {@linkcode reclaim}. */
export interface Reclaimed {
  /** Ids of kept containers whose exit no process saw. */
  ended: string[];
  /** Ids of removed containers. */
  removed: string[];
  /** Ids of containers with a damaged record or damaged marks, which are left alone. */
  damaged: string[];
  /** Ids of containers that could not be reclaimed, and the reasons; the next call tries again. */
  failed: { id: string; reason: string }[];
}

const RELEASE_MS = 2000;

/** Kills the first process of a container, and so all of them, and waits for its exit up to a limit. */
async function killFirst(process: ProcessIdentity, cgroups: readonly string[]): Promise<void> {
  try {
    Deno.kill(process.pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  // On cgroup v1 frozen processes die only after they are thawed.
  thawGroups(cgroups);
  await waitUntil(() => !isAlive(process), { timeout: RELEASE_MS, interval: 1 });
}

/** Kills all processes of a container, and removes its control groups. */
export async function endContainer(containers: string, record: ContainerRecord, ownership?: Ownership): Promise<void> {
  if (ownership?.process && isRunning(ownership)) await killFirst(ownership.process, record.cgroups);
  // It may have been given more groups meanwhile, but cannot now that it is dead.
  const { cgroups } = lastRecord(`${containers}/${record.id}`, record);
  cgroups.forEach((group) => killGroup(group));
  removeGroups(cgroups);
}

/** Finishes a container that this process has taken over from a dead owner. */
async function finish(containers: string, id: string, ownership: Ownership | undefined): Promise<"ended" | "removed"> {
  const record = readRecord(`${containers}/${id}`);
  if (record) await endContainer(containers, record, ownership);
  if (record && ownership?.process && !record.ended) {
    recordEvent(containers, "die", record, { exitCode: 128 + SIGKILL, signal: SIGKILL, lost: true });
  }
  if (!record?.keep || (awaitsCommand(record) && !ownership?.process)) {
    await removeContainer(containers, record ?? { id });
    return "removed";
  }
  if (!record.ended) {
    const ended = { at: now(), code: 128 + SIGKILL, signal: SIGKILL, lost: true } as const;
    const folder = `${containers}/${id}`;
    withRecord(folder, (current) => writeRecord(folder, { ...current, ended }));
  }
  clearOwnership(containers, id);
  return "ended";
}

/**
 * Finishes containers whose owner has died, except those that another command finishes and damaged ones. Thaws what was
 * left frozen.
 */
async function finishAll(containers: string, ids: readonly string[], damaged: string[]): Promise<Reclaimed> {
  const result: Reclaimed = { ended: [], removed: [], damaged, failed: [] };
  for (const id of ids) {
    if (damaged.includes(id)) continue;
    try {
      thawAbandoned(containers, id);
      const ownership = readOwnership(containers, id);
      if (ownership ? !takeOver(containers, id) : readRecord(`${containers}/${id}`)) continue;
      result[await finish(containers, id, ownership)].push(id);
    } catch (error) {
      // A failure must not keep the others from being finished.
      result.failed.push({ id, reason: messageOf(error) });
    }
  }
  return result;
}

/** Cleans up after commands that were killed, in the directory `containers`. Safe to call at any time. */
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

/** Finds monitors of running containers whose directory was removed, which no other command finds. */
export function findOrphans(): Monitor[] {
  return findMonitors().filter(({ isGone, identity }) => isGone && firstOf(identity.pid) !== undefined);
}

/** Kills the containers that {@linkcode findOrphans} finds, and releases their network leases. Returns their ids. */
export async function endOrphans(): Promise<string[]> {
  const orphans = findOrphans(), ids = orphans.map(({ id }) => id);
  for (const orphan of orphans) await endOrphan(orphan);
  for (const id of ids) removeGroups(groupsOf(id, undefined));
  if (ids.length > 0) await releaseLeases(ids, Infinity);
  return ids;
}

/** Samples the containers that killed commands left, at random, for a command to reclaim in passing; never `but`. */
export function someAbandoned(containers: string, but: string): readonly string[] {
  try {
    return abandonedIds(containers, SAMPLE, but);
  } catch {
    // An error must not fail the command; gc reports it.
    return [];
  }
}

/** Reclaims these containers if killed commands left them. */
export async function reclaimThese(containers: string, ids: readonly string[]): Promise<void> {
  const { ended, removed } = await finishAll(containers, ids, []);
  if (ended.length + removed.length > 0) await releaseLeases([...ended, ...removed]);
}
