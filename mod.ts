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

import type { FolderOptions } from "./lib/folders.ts";
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

export { create, exec, kill, remove, rename, restart, runDetached, start, stop, wait } from "./lib/containers.ts";
export type { ExecOptions, ExecOutput, ExecProcess } from "./lib/container/exec.ts";
export type { DetachedOptions } from "./lib/container/start.ts";
export type { RemoveOptions, StopOptions } from "./lib/container/stop.ts";
export type { Child, CommandStatus, Written } from "./lib/container/child.ts";
export { output, run } from "./lib/container/run.ts";
export type { Container, RunOptions, RunOutput, RunStatus } from "./lib/container/run.ts";
export type { ContainerOptions, HealthCheck, PullPolicy, StreamOption } from "./lib/container/options.ts";
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
