/**
 * API of container resources: pause, limits, restart policy, stats, top.
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
 * @throws {ContainerError} if it does not exist, is not running, or is paused already.
 * @throws {CgroupError} if the host has no freezer, or a process cannot be frozen.
 */
export async function pause(container: ContainerReference, options: FolderOptions = {}): Promise<void> {
  const { pauseContainer } = await lazy.pause();
  await pauseContainer(findFolders(options).containers, queryOf(container));
}

/**
 * Resumes a paused container.
 *
 * @throws {ContainerError} if it does not exist, is not running, or is not paused.
 */
export async function unpause(container: ContainerReference, options: FolderOptions = {}): Promise<void> {
  const { unpauseContainer } = await lazy.pause();
  await unpauseContainer(findFolders(options).containers, queryOf(container));
}

/**
 * Updates the given limits of a container, at once if it is running, and for later starts. Either all change or none.
 *
 * @throws {InputError} for invalid limits.
 * @throws {ContainerError} if the container does not exist.
 * @throws {CgroupError} for limits that the host cannot set, or below the container's present usage.
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
 * Updates the restart policy of a detached container, at once and for later starts.
 *
 * @param restart `no`, `on-failure[:TIMES]`, `always` or `unless-stopped`.
 * @throws {InputError} for an invalid policy, or a container that is removed when it exits.
 * @throws {ContainerError} if the container does not exist, or is attached.
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
 * Samples the resource usage of a container until it exits. Each sample covers the interval before it.
 *
 * @throws {ContainerError} if the container does not exist, or is not running.
 */
export async function* stats(
  container: ContainerReference,
  options: StatsOptions & FolderOptions = {},
): AsyncGenerator<Sample> {
  const { statsOf } = await lazy.stats();
  yield* statsOf(findFolders(options).containers, queryOf(container), options);
}

/**
 * Lists the processes of a container, by PID in it.
 *
 * @throws {ContainerError} if the container does not exist, or is not running.
 */
export async function top(container: ContainerReference, options: FolderOptions = {}): Promise<ContainerProcess[]> {
  const { topOf } = await lazy.top();
  return topOf(findFolders(options).containers, queryOf(container));
}
