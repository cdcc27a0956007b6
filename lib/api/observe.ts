/**
 * Looking at containers, for scripts.
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

/** All containers, also those that have ended, oldest first. */
export async function list(options: FolderOptions = {}): Promise<ContainerInfo[]> {
  const { listAll } = await lazy.list();
  return listAll(findFolders(options).containers);
}

/**
 * What is known of a container.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`.
 */
export async function inspect(container: ContainerReference, options: FolderOptions = {}): Promise<ContainerInfo> {
  const { inspectOne } = await lazy.list();
  return inspectOne(findFolders(options).containers, queryOf(container));
}

/** Which records of a log to read. */
export interface LogsOptions extends Omit<LogOptions, "follow">, FolderOptions {
  /** Go on as long as the container runs. Default: false. */
  readonly follow?: boolean;
}

/**
 * What a container has written that was started detached.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`; `no-log` for others.
 * @throws {InputError} `bad-time`.
 */
export async function* logs(container: ContainerReference, options: LogsOptions = {}): AsyncGenerator<LogRecord> {
  const { logsOf } = await lazy.list();
  yield* logsOf(findFolders(options).containers, queryOf(container), options);
}

/**
 * What happens with containers, from now on or since another time.
 *
 * @throws {InputError} `bad-time`, `bad-filter`.
 */
export async function* events(options: EventOptions & FolderOptions = {}): AsyncGenerator<ContainerEvent> {
  const { readEvents } = await lazy.events();
  yield* readEvents(findFolders(options).containers, options);
}
