/**
 * API of container lifecycles: run, create, start, exec, stop, fork, remove.
 *
 * @module
 */

import type { ExecOptions, ExecProcess } from "../container/attached/exec.ts";
import type { PreparedContainer } from "../container/attached/prepared.ts";
import type { Container } from "../container/attached/attached.ts";
import type { RunOptions } from "../container/attached/create.ts";
import { run } from "../container/attached/run.ts";
import type { DetachedOptions } from "../container/detached/start.ts";
import type { RemoveOptions, StopOptions } from "../container/detached/stop.ts";
import { findFolders, type FolderOptions } from "../host/folders.ts";
import { lazy } from "../lazy.ts";
import { type ContainerReference, queryOf } from "./reference.ts";

/**
 * Prepares a container of `image` for a command that is given later and then starts in about half the time of
 * {@linkcode run}. Options are those of `run`; streams, user and limits are fixed now.
 *
 * ```ts
 * import { prepare } from "./mod.ts";
 *
 * await using ready = await prepare("alpine", { stdout: "piped", stderr: "piped" });
 * const container = await ready.run(["echo", "hello"]);
 * const { stdout } = await container.output();
 * ```
 *
 * @throws as `run`, except errors of the command.
 */
export async function prepare(image: string, options: RunOptions = {}): Promise<PreparedContainer> {
  const { prepare } = await lazy.ahead();
  return prepare(image, options);
}

/**
 * Runs an additional command in a running container: in all its namespaces and control groups, by default with its user
 * and capabilities. The standard streams are those of `run`. Call it on the main thread.
 *
 * @throws {InputError} for invalid options.
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, `container-not-running`.
 * @throws {SpawnError} if the command could not be executed.
 */
export async function exec(
  container: ContainerReference,
  command: readonly string[],
  options: ExecOptions = {},
): Promise<ExecProcess> {
  const { exec } = await lazy.exec();
  return exec(queryOf(container), command, options);
}

/**
 * Runs a command in a new detached container, which outlives this process. Returns the container ID when the command has
 * been executed. Its output goes to the container's log. Call it on the main thread.
 *
 * @throws as `run`; nothing remains then.
 */
export async function runDetached(
  image: string,
  command: readonly string[],
  options: DetachedOptions = {},
): Promise<string> {
  const { runDetached } = await lazy.start();
  return runDetached(image, command, options);
}

/**
 * Creates a container without starting it. Returns its ID.
 *
 * @throws as `run`; nothing remains then.
 */
export async function create(
  image: string,
  command: readonly string[],
  options: DetachedOptions = {},
): Promise<string> {
  const { create } = await lazy.start();
  return create(image, command, options);
}

/**
 * Starts a created or exited container, detached, with the options it was created with. Resolves when the command has been
 * executed. Call it on the main thread.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, `container-running`.
 * @throws {ImageError} `image-gone`.
 * @throws as `run`. The container is unchanged then.
 */
export async function start(container: ContainerReference, options: FolderOptions = {}): Promise<void> {
  const { start } = await lazy.start();
  await start(queryOf(container), options);
}

/**
 * Runs a command, by default the same, in a copy-on-write clone of a container. Options that are not given are those of
 * the original, except its name and options that two containers cannot share, such as published ports. A running original
 * is frozen while its changes are copied; the fork of a stopped one takes constant time. Call it on the main thread.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, `container-busy`.
 * @throws as `run`.
 */
export async function fork(
  container: ContainerReference,
  command: readonly string[] = [],
  options: RunOptions = {},
): Promise<Container> {
  const { forkOptions } = await lazy.fork();
  return run(
    `container:${queryOf(container)}`,
    command,
    forkOptions(findFolders(options).containers, queryOf(container), options),
  );
}

/**
 * Forks a container as {@linkcode fork} does, detached. Returns the ID of the fork.
 *
 * @throws as `fork`.
 */
export async function forkDetached(
  container: ContainerReference,
  command: readonly string[] = [],
  options: DetachedOptions = {},
): Promise<string> {
  const { forkOptions } = await lazy.fork();
  const own = forkOptions(findFolders(options).containers, queryOf(container), options);
  return runDetached(`container:${queryOf(container)}`, command, own);
}

/**
 * Stops a running container: sends its stop signal, and kills it after a timeout. It is not restarted.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`.
 * @throws {InputError} `unknown-signal`.
 */
export async function stop(container: ContainerReference, options: StopOptions = {}): Promise<void> {
  const { stop } = await lazy.stop();
  await stop(queryOf(container), options);
}

/**
 * Stops a container and starts it again.
 *
 * @throws as {@linkcode stop} and {@linkcode start}.
 */
export async function restart(container: ContainerReference, options: StopOptions = {}): Promise<void> {
  const { restart } = await lazy.stop();
  await restart(queryOf(container), options);
}

/**
 * Sends a signal, by name or number, to the first process of a running container. Default: SIGKILL, after which it is not
 * restarted.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, `container-not-running`.
 * @throws {InputError} `unknown-signal`.
 */
export async function kill(
  container: ContainerReference,
  signal: string | number = "SIGKILL",
  options: FolderOptions = {},
): Promise<void> {
  const { kill } = await lazy.stop();
  await kill(queryOf(container), signal, options);
}

/**
 * Waits until a container has exited and will not be restarted. Returns its exit status: of its last run, if it is not
 * running.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, `not-started`; `exit-code-unknown` if the process
 * that ran it has removed it.
 */
export async function wait(container: ContainerReference, options: FolderOptions = {}): Promise<number> {
  const { wait } = await lazy.stop();
  return wait(queryOf(container), options);
}

/**
 * Removes a container.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`; `container-running` unless `force`d.
 */
export async function remove(container: ContainerReference, options: RemoveOptions = {}): Promise<void> {
  const { remove } = await lazy.stop();
  await remove(queryOf(container), options);
}

/**
 * Renames a container.
 *
 * @throws {InputError} `bad-name`.
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, `name-taken`.
 */
export async function rename(container: ContainerReference, name: string, options: FolderOptions = {}): Promise<void> {
  const { renameContainer } = await lazy.rename();
  renameContainer(findFolders(options).containers, queryOf(container), name);
}
