/**
 * What is known of containers.
 *
 * @module
 */

import { type LogOptions, readLog, requireLog } from "./log.ts";
import type { LogRecord } from "./log_format.ts";
import { findContainer, listContainers } from "./names.ts";
import { type ShownStatus, shownStatusOf } from "./pause.ts";
import { type ContainerRecord, isOwned, isRunning } from "./record.ts";
import { livenessOf } from "./store.ts";

/** What is known of a container: its record, and what it is doing. */
export interface ContainerInfo extends ContainerRecord {
  /** What it is doing. */
  readonly status: ShownStatus;
  /** The number of its first process. Default: it has none. */
  readonly pid?: number;
  /** Its folder. */
  readonly folder: string;
}

function infoOf(containers: string, record: ContainerRecord): ContainerInfo {
  const liveness = livenessOf(containers, record.id), status = shownStatusOf(record, liveness);
  const process = status === "running" || status === "paused" ? liveness?.process : undefined;
  return { ...record, status, ...(process ? { pid: process.pid } : {}), folder: `${containers}/${record.id}` };
}

/** All containers, oldest first. */
export function listAll(containers: string): ContainerInfo[] {
  return listContainers(containers).map((record) => infoOf(containers, record));
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
  const liveness = livenessOf(containers, id);
  return liveness !== undefined && (isOwned(liveness) || isRunning(liveness));
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
