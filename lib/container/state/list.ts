/**
 * What is known of containers.
 *
 * @module
 */

import { standIn } from "./damaged.ts";
import { type LogOptions, readLog, requireLog } from "./log.ts";
import type { LogRecord } from "./log_format.ts";
import { findContainer, listContainers } from "./names.ts";
import { type ShownStatus, shownStatusOf } from "./freeze.ts";
import { type ContainerRecord, type Elsewhere, isRunning, ownerIsAlive, readRecord } from "./record.ts";
import { liveIds, readOwnership } from "./ownership.ts";

/** What is known of a container: its record, and what it is doing. */
export interface ContainerInfo extends ContainerRecord {
  /** What it is doing. */
  readonly status: ShownStatus;
  /** The number of its first process. Default: it has none. */
  readonly pid?: number;
  /** Where it is held by a process that we cannot see. Default: nowhere. */
  readonly elsewhere?: Elsewhere;
  /** Its folder. */
  readonly folder: string;
}

function infoOf(containers: string, record: ContainerRecord): ContainerInfo {
  const liveness = readOwnership(containers, record.id), status = shownStatusOf(record, liveness);
  const process = status === "running" || status === "paused" ? liveness?.process : undefined;
  return {
    ...record,
    status,
    ...(process ? { pid: process.pid } : {}),
    ...(liveness?.elsewhere ? { elsewhere: liveness.elsewhere } : {}),
    folder: `${containers}/${record.id}`,
  };
}

/** All containers, oldest first; also those whose record or marks are damaged, and those that run without a record. */
export function listAll(containers: string): ContainerInfo[] {
  const ids: string[] = [];
  const records = listContainers(containers, (id) => ids.push(id));
  const listed = new Set(records.map(({ id }) => id));
  for (const id of liveIds(containers)) {
    const liveness = listed.has(id) || ids.includes(id) ? undefined : readOwnership(containers, id);
    if (liveness && (liveness.damaged || isRunning(liveness)) && !readRecord(`${containers}/${id}`)) ids.push(id);
  }
  const damaged = ids.map((id): ContainerInfo => {
    const info = infoOf(containers, standIn(containers, id));
    return { ...info, status: info.status === "elsewhere" ? info.status : "damaged" };
  });
  return [...records.map((record) => infoOf(containers, record)), ...damaged];
}

/**
 * What is known of the container that `query` names.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`.
 */
export function inspectOne(containers: string, query: string): ContainerInfo {
  return infoOf(containers, findContainer(containers, query));
}

/** Whether a container runs, or its monitor may start it again. */
export function isHeld(containers: string, id: string): boolean {
  const liveness = readOwnership(containers, id);
  return liveness !== undefined && (ownerIsAlive(liveness) || isRunning(liveness));
}

/**
 * The log of the container that `query` names; with `follow`, as long as it runs.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, `no-log`.
 */
export function logsOf(
  containers: string,
  query: string,
  { follow, ...options }: Omit<LogOptions, "follow"> & { readonly follow?: boolean },
): AsyncGenerator<LogRecord> {
  const record = findContainer(containers, query), { id } = record;
  requireLog(containers, record);
  return readLog(`${containers}/${id}`, { ...options, ...(follow ? { follow: () => isHeld(containers, id) } : {}) });
}
