/**
 * API of container observation: list, inspect, logs, events.
 *
 * @module
 */

import type { ContainerEvent } from "../container/state/event.ts";
import type { EventOptions } from "../container/state/events.ts";
import type { ContainerInfo } from "../container/state/list.ts";
import type { LogOptions } from "../container/state/log.ts";
import type { LogRecord } from "../container/state/log_format.ts";
import { findFolders, type FolderOptions } from "../host/folders.ts";
import { lazy } from "../lazy.ts";
import { type ContainerReference, queryOf } from "./reference.ts";

/** Lists all containers, also exited ones, oldest first. */
export async function list(options: FolderOptions = {}): Promise<ContainerInfo[]> {
  const { listAll } = await lazy.list();
  return listAll(findFolders(options).containers);
}

/**
 * Returns record and status of a container.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`.
 */
export async function inspect(container: ContainerReference, options: FolderOptions = {}): Promise<ContainerInfo> {
  const { inspectOne } = await lazy.list();
  return inspectOne(findFolders(options).containers, queryOf(container));
}

/** Options of `logs`. */
export interface LogsOptions extends Omit<LogOptions, "follow">, FolderOptions {
  /** Follow the log while the container runs. Default: false. */
  readonly follow?: boolean;
}

/**
 * Reads the log of a detached container.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`; `no-log` if it was never detached.
 * @throws {InputError} `bad-time`.
 */
export async function* logs(container: ContainerReference, options: LogsOptions = {}): AsyncGenerator<LogRecord> {
  const { logsOf } = await lazy.list();
  yield* logsOf(findFolders(options).containers, queryOf(container), options);
}

/**
 * Reads container events, from now on or since a given time.
 *
 * @throws {InputError} `bad-time`, `bad-filter`.
 */
export async function* events(options: EventOptions & FolderOptions = {}): AsyncGenerator<ContainerEvent> {
  const { readEvents } = await lazy.events();
  yield* readEvents(findFolders(options).containers, options);
}
