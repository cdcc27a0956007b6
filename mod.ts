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

import type { ApplyOptions, ApplyResult } from "./lib/container/apply.ts";
import type { Change } from "./lib/container/changes.ts";
import type { CopyResult } from "./lib/container/copy.ts";
import type { CopyFileOptions } from "./lib/container/files.ts";
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

/**
 * Copies files into a container, whether it runs or not, by the rules of `docker cp`: `source` is a path of this machine,
 * or the bytes of a tar archive, perhaps compressed, which is unpacked in the folder `target`.
 *
 * @throws {InputError} for `source`, {@linkcode ContainerError} for the container and `target`; their `code` says why.
 */
export async function copyTo(
  container: string,
  source: string | ReadableStream<Uint8Array<ArrayBuffer>>,
  target: string,
  options: CopyFileOptions = {},
): Promise<CopyResult> {
  const { copyTo } = await lazy.files();
  return await copyTo(container, source, target, options);
}

/**
 * Copies files of a container to this machine, by the rules of `docker cp`. What they are called and where their links
 * lead cannot make it write anywhere but at `target`.
 *
 * @throws {ContainerError} for the container and `source`, {@linkcode InputError} for `target`; their `code` says why.
 */
export async function copyFrom(
  container: string,
  source: string,
  target: string,
  options: CopyFileOptions = {},
): Promise<CopyResult> {
  const { copyFrom } = await lazy.files();
  return await copyFrom(container, source, target, options);
}

/**
 * Writes a tar archive to `output`, which stays open: of the path `source` of a container, or by default of all its files
 * without what is mounted in it.
 *
 * @throws {ContainerError} as {@linkcode copyFrom}.
 */
export async function exportTar(
  container: string,
  output: WritableStream<Uint8Array<ArrayBuffer>>,
  options: CopyFileOptions & {
    /** The path. Default: everything. */
    source?: string;
  } = {},
): Promise<void> {
  const { exportTar } = await lazy.files();
  await exportTar(container, output, options);
}

/**
 * What a container has changed in its image's files, by path.
 *
 * @throws {ContainerError} if there is no such container, or its image is gone.
 */
export async function changes(container: string, options: FolderOptions = {}): Promise<Change[]> {
  const { changes } = await lazy.files();
  return await changes(container, options);
}

/**
 * Writes what a container of the image `host` has changed to this machine: each file at once or not at all, and nothing
 * if something that would be touched was changed here since the container was made. It must have ended.
 *
 * @throws {ContainerError} if it is of another image or runs, or if something could not be written.
 */
export async function apply(container: string, options: ApplyOptions & FolderOptions = {}): Promise<ApplyResult> {
  const { apply } = await lazy.files();
  return await apply(container, options);
}

export {
  create,
  exec,
  fork,
  forkDetached,
  kill,
  remove,
  rename,
  restart,
  runDetached,
  start,
  stop,
  wait,
} from "./lib/containers.ts";
export type { ExecOptions, ExecOutput, ExecProcess } from "./lib/container/exec.ts";
export type { DetachedOptions } from "./lib/container/start.ts";
export type { RemoveOptions, StopOptions } from "./lib/container/stop.ts";
export type { Child, CommandStatus, Written } from "./lib/container/child.ts";
export { output, run } from "./lib/container/run.ts";
export type { Container, RunOptions, RunOutput, RunStatus } from "./lib/container/run.ts";
export type { ContainerOptions, HealthCheck, PullPolicy, StreamOption } from "./lib/container/options.ts";
export type { ApplyOptions, ApplyResult } from "./lib/container/apply.ts";
export type { ApplyPlan, Conflict } from "./lib/container/apply_plan.ts";
export type { Change, FileKind, FileState } from "./lib/container/changes.ts";
export type { CopyOptions, CopyResult } from "./lib/container/copy.ts";
export type { CopyFileOptions } from "./lib/container/files.ts";
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
