/**
 * Sauropod: containers for Deno scripts.
 *
 * ```ts
 * import { output, run } from "./mod.ts";
 *
 * const { stdout } = await output("alpine", ["cat", "/etc/os-release"]);
 * console.log(new TextDecoder().decode(stdout));
 *
 * await using box = await run("alpine", ["sh"], { stdin: "piped", stdout: "piped" });
 * ```
 *
 * Needs Linux, root and `deno run -A`. See the README for what it promises.
 *
 * @module
 */

import type { Limits } from "./lib/cgroup/limits.ts";
import type { Container } from "./lib/container/run.ts";
import type { Sample, StatsOptions } from "./lib/container/stats.ts";
import type { ContainerProcess } from "./lib/container/top.ts";
import type { Updated } from "./lib/container/update.ts";
import { findFolders, type FolderOptions } from "./lib/folders.ts";
import { lazy } from "./lib/lazy.ts";
import type { NetworkOptions } from "./lib/network/definition.ts";
import type { NetworkInfo } from "./lib/network/manage.ts";

/**
 * Loads at once what is otherwise loaded when it is first needed, such as unpacking and control groups: for programs
 * that must not read files later. It also shows those modules to `deno cache` and `deno vendor`.
 */
export async function preload(): Promise<void> {
  await import("./lib/preload.ts");
}

/**
 * Makes a bridged network.
 *
 * @throws {InputError} for options that make no sense.
 * @throws {NetworkError} if there is one of that name, or its subnet is taken. Nothing is left then.
 */
export async function createNetwork(name: string, options: NetworkOptions & FolderOptions = {}): Promise<NetworkInfo> {
  const { createNetwork } = await lazy.networkManage();
  return createNetwork(name, options);
}

/**
 * Removes a bridged network.
 *
 * @throws {NetworkError} if there is none of that name, or a container uses it.
 */
export async function removeNetwork(name: string, options: FolderOptions = {}): Promise<void> {
  const { removeNetwork } = await lazy.networkManage();
  await removeNetwork(name, options);
}

/** All bridged networks, and who is on them. */
export async function listNetworks(options: FolderOptions = {}): Promise<NetworkInfo[]> {
  const { listNetworks } = await lazy.networkManage();
  return listNetworks(options);
}

/** A container: itself, its name, its id or the beginning of its id. */
export type ContainerReference = string | Pick<Container, "id">;

function queryOf(container: ContainerReference): string {
  return typeof container === "string" ? container : container.id;
}

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
  unpauseContainer(findFolders(options).containers, queryOf(container));
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

export { output, run } from "./lib/container/run.ts";
export type { Container, RunOptions, RunOutput, RunStatus } from "./lib/container/run.ts";
export type { ContainerOptions, PullPolicy, StreamOption } from "./lib/container/options.ts";
export type { Sample, StatsOptions } from "./lib/container/stats.ts";
export type { ContainerProcess } from "./lib/container/top.ts";
export type { Updated } from "./lib/container/update.ts";
export type { StreamOptions } from "./lib/container/streams.ts";
export type { Attachment } from "./lib/network/attach.ts";
export type { PublishedPort } from "./lib/network/ports.ts";
export type { NetworkOptions } from "./lib/network/definition.ts";
export type { NetworkInfo } from "./lib/network/manage.ts";
export type { TerminalSize } from "./lib/program/wiring.ts";
export type { FolderOptions } from "./lib/folders.ts";
export type { Limits } from "./lib/cgroup/limits.ts";
export {
  CgroupError,
  ContainerError,
  type ErrorDetails,
  ImageError,
  InputError,
  NetworkError,
  SauropodError,
  SpawnError,
} from "./lib/errors.ts";
