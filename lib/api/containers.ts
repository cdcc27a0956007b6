/**
 * The life of containers, for scripts: also of those that run elsewhere, or do not run.
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
 * Makes a container of `image` but for its command, so that it starts in a moment when the command is known: about a
 * millisecond, for what {@linkcode run} takes two. All options are as there; streams, user and limits are settled now.
 *
 * ```ts
 * import { prepare } from "./mod.ts";
 *
 * await using ready = await prepare("alpine", { stdout: "piped", stderr: "piped" });
 * const container = await ready.run(["echo", "hello"]);
 * const { stdout } = await container.output();
 * ```
 *
 * @throws whatever `run` throws, but for its command.
 */
export async function prepare(image: string, options: RunOptions = {}): Promise<PreparedContainer> {
  const { prepare } = await lazy.ahead();
  return prepare(image, options);
}

/**
 * Runs one more command in a running container, in all of its namespaces and control groups, with its user and
 * capabilities unless asked otherwise. The standard streams are as with `run`. Call it on the main thread.
 *
 * @throws {InputError} for options that make no sense.
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
 * Runs a command in a new container that outlives this process. Returns the container's id when the command has been
 * executed. What the command writes goes to the container's log. Call it on the main thread.
 *
 * @throws whatever `run` throws; nothing is left then.
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
 * Makes a container that can be started. Returns its id.
 *
 * @throws whatever `run` throws; nothing is left then.
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
 * Starts a container that has been made or has ended, with all that was asked when it was made. It outlives this
 * process. Resolves when the command has been executed. Call it on the main thread.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, `container-running`.
 * @throws {ImageError} `image-gone`.
 * @throws whatever `run` throws. The container is as before then.
 */
export async function start(container: ContainerReference, options: FolderOptions = {}): Promise<void> {
  const { start } = await lazy.start();
  await start(queryOf(container), options);
}

/**
 * Runs a command, by default the same, in a new container whose files are those of another one as they are now,
 * copy-on-write. Options that are not given are the other's, but for its name and what only one container can have, such
 * as published ports. The other goes on undisturbed; if it runs it is frozen while what it has changed is copied, if not
 * the fork takes the same time whatever its size. Call it on the main thread.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, `container-busy`.
 * @throws whatever `run` throws.
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
 * Makes a fork as {@linkcode fork} does, which outlives this process. Returns its id.
 *
 * @throws whatever `fork` throws.
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
 * Ends a running container: asks it to, and kills it if it does not. It is not started again.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`.
 * @throws {InputError} `unknown-signal`.
 */
export async function stop(container: ContainerReference, options: StopOptions = {}): Promise<void> {
  const { stop } = await lazy.stop();
  await stop(queryOf(container), options);
}

/**
 * Ends a container and starts it again.
 *
 * @throws whatever {@linkcode stop} and {@linkcode start} throw.
 */
export async function restart(container: ContainerReference, options: StopOptions = {}): Promise<void> {
  const { restart } = await lazy.stop();
  await restart(queryOf(container), options);
}

/**
 * Sends a signal, by name or number, to the first process of a running container. Default: SIGKILL, after which it is not
 * started again.
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
 * Waits until a container has ended for good, and returns its exit code: that of its last run, if it does not run.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, `not-started`; `exit-code-unknown` if it was
 * removed at its end by the process that ran it.
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
 * Gives a container another name.
 *
 * @throws {InputError} `bad-name`.
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, `name-taken`.
 */
export async function rename(container: ContainerReference, name: string, options: FolderOptions = {}): Promise<void> {
  const { renameContainer } = await lazy.rename();
  renameContainer(findFolders(options).containers, queryOf(container), name);
}
