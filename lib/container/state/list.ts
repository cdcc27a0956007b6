/**
 * Descriptions of containers for `ps` and `inspect`, and their logs.
 *
 * @module
 */

import { liveIds, standIn } from "./damaged.ts";
import { type LogOptions, readLog, requireLog } from "./log.ts";
import type { LogRecord } from "./log_format.ts";
import { findContainer, listContainers } from "./names.ts";
import { type ShownStatus, shownStatusOf } from "./freeze.ts";
import { type ContainerRecord, type Elsewhere, isRunning, ownerIsAlive, readRecord } from "./record.ts";
import { readOwnership } from "./ownership.ts";

/** A container's record, state and directory. */
export interface ContainerInfo extends ContainerRecord {
  /** Its state. */
  readonly status: ShownStatus;
  /** PID of its first process. Default: it does not run. */
  readonly pid?: number;
  /** Where its owner is, if this process cannot see it. Default: here, or it has none. */
  readonly elsewhere?: Elsewhere;
  /** Its directory. */
  readonly folder: string;
}

function infoOf(containers: string, record: ContainerRecord): ContainerInfo {
  const ownership = readOwnership(containers, record.id), status = shownStatusOf(record, ownership);
  const process = status === "running" || status === "paused" ? ownership?.process : undefined;
  return {
    ...record,
    status,
    ...(process ? { pid: process.pid } : {}),
    ...(ownership?.elsewhere ? { elsewhere: ownership.elsewhere } : {}),
    folder: `${containers}/${record.id}`,
  };
}

/** Lists all containers, oldest first, including damaged ones and those that run without a record. */
export function listAll(containers: string): ContainerInfo[] {
  const ids: string[] = [];
  const records = listContainers(containers, (id) => ids.push(id));
  const listed = new Set(records.map(({ id }) => id));
  for (const id of liveIds(containers)) {
    const ownership = listed.has(id) || ids.includes(id) ? undefined : readOwnership(containers, id);
    if (ownership && (ownership.damaged || isRunning(ownership)) && !readRecord(`${containers}/${id}`)) ids.push(id);
  }
  const damaged = ids.map((id): ContainerInfo => {
    const info = infoOf(containers, standIn(containers, id));
    return { ...info, status: info.status === "elsewhere" ? info.status : "damaged" };
  });
  return [...records.map((record) => infoOf(containers, record)), ...damaged];
}

/**
 * Describes the container that `query` names.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`.
 */
export function inspectOne(containers: string, query: string): ContainerInfo {
  return infoOf(containers, findContainer(containers, query));
}

/** Returns whether a container runs, or its monitor may restart it. */
export function isHeld(containers: string, id: string): boolean {
  const ownership = readOwnership(containers, id);
  return ownership !== undefined && (ownerIsAlive(ownership) || isRunning(ownership));
}

/**
 * Yields the log of the container that `query` names; with `follow`, as long as it runs.
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
