/**
 * What containers use and may use, for scripts.
 *
 * @module
 */

import type { Limits } from "../cgroup/limits.ts";
import type { Sample, StatsOptions } from "../container/stats/stats.ts";
import type { ContainerProcess } from "../container/stats/top.ts";
import type { Updated } from "../container/detached/update.ts";
import { findFolders, type FolderOptions } from "../host/folders.ts";
import { lazy } from "../lazy.ts";
import { type ContainerReference, queryOf } from "./reference.ts";

/**
 * Freezes all processes of a container; resolves when they are frozen.
 *
 * @throws {ContainerError} if there is none, it does not run, or it is paused already.
 * @throws {CgroupError} if this host has no control groups that can be frozen, or a process cannot be frozen.
 */
export async function pause(container: ContainerReference, options: FolderOptions = {}): Promise<void> {
  const { pauseContainer } = await lazy.pause();
  await pauseContainer(findFolders(options).containers, queryOf(container));
}

/**
 * Lets a paused container run again.
 *
 * @throws {ContainerError} if there is none, it does not run, or it is not paused.
 */
export async function unpause(container: ContainerReference, options: FolderOptions = {}): Promise<void> {
  const { unpauseContainer } = await lazy.pause();
  await unpauseContainer(findFolders(options).containers, queryOf(container));
}

/**
 * Changes limits of a container, at once if it runs, and for all its later starts; those that are not named stay as they
 * are. Either all of them change or none.
 *
 * @throws {InputError} for limits that make no sense.
 * @throws {ContainerError} if there is no such container.
 * @throws {CgroupError} for limits that this host cannot set, or that are below what the container uses.
 */
export async function updateLimits(
  container: ContainerReference,
  limits: Limits,
  options: FolderOptions = {},
): Promise<Updated> {
  const { updateContainer } = await lazy.update();
  return updateContainer(findFolders(options).containers, queryOf(container), limits);
}

/**
 * Changes when a container that runs in the background is started again, at once and for all its later starts.
 *
 * @param restart `no`, `on-failure[:TIMES]`, `always` or `unless-stopped`.
 * @throws {InputError} for another policy, or if the container is removed at its end.
 * @throws {ContainerError} if there is no such container, or it runs in the foreground.
 */
export async function updateRestart(
  container: ContainerReference,
  restart: string,
  options: FolderOptions = {},
): Promise<Updated> {
  const { updateContainer } = await lazy.update();
  return updateContainer(findFolders(options).containers, queryOf(container), { restart });
}

/**
 * What a container uses, again and again, until it ends. Each sample covers the interval before it.
 *
 * @throws {ContainerError} if there is no such container, or it does not run.
 */
export async function* stats(
  container: ContainerReference,
  options: StatsOptions & FolderOptions = {},
): AsyncGenerator<Sample> {
  const { statsOf } = await lazy.stats();
  yield* statsOf(findFolders(options).containers, queryOf(container), options);
}

/**
 * The processes of a container, in the order of their numbers in it.
 *
 * @throws {ContainerError} if there is no such container, or it does not run.
 */
export async function top(container: ContainerReference, options: FolderOptions = {}): Promise<ContainerProcess[]> {
  const { topOf } = await lazy.top();
  return topOf(findFolders(options).containers, queryOf(container));
}
