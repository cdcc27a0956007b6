/**
 * Running a command in a container and holding on to it until it ends.
 *
 * @module
 */

import { InputError } from "../../errors.ts";
import { findFolders, type Folders } from "../../host/folders.ts";
import { resolveImage } from "../../image/resolve.ts";
import type { Image } from "../../store/image.ts";
import { type Container, type Harvest, type RunningContainer, type RunOutput, superviseAttached } from "./attached.ts";
import { launch } from "./launch.ts";
import { announce, createAndLaunch, type RunOptions } from "./create.ts";
import { planContainer } from "../spec/plan.ts";
import { checkOptions } from "../spec/spec.ts";

/** Makes the container that the user and the image ask for. */
async function startOn(
  image: Image,
  asked: readonly string[],
  wishes: RunOptions,
  containers: string,
): Promise<RunningContainer> {
  const plan = await planContainer(image, asked, wishes, containers);
  wishes.signal?.throwIfAborted();
  return createAndLaunch(plan, { launch, announce });
}

/** Refuses what only a container that outlives its caller can have. */
export function checkAttached({ restart = "no", health }: RunOptions): void {
  const what = restart !== "no" ? "a restart policy" : health ? "a health check" : undefined;
  if (what === undefined) return;
  throw new InputError(`${what} is for a container in the background: this one ends with its caller`, {
    code: "not-detached",
    hint: "--detach, or runDetached",
  });
}

/**
 * Runs a command in a new container of `image`: `host`, a folder or archive in the folder of images, or a reference
 * such as `alpine:3.20`, which is pulled if it is missing. Without a command the image's own is run.
 *
 * The standard streams are as with `Deno.Command`, except that `stdin` is `null` unless asked. Call it on the main
 * thread: the kernel ends the container with the thread that made it.
 *
 * @throws {InputError} for options that make no sense; nothing was made.
 * @throws {ImageError} if the image is missing or cannot be unpacked.
 * @throws {CgroupError} for limits that this host cannot set.
 * @throws {ContainerError} if the name is taken.
 * @throws {SpawnError} if a system call failed or the command could not be executed; nothing is left.
 */
export async function run(image: string, command: readonly string[], options: RunOptions = {}): Promise<Container> {
  options.signal?.throwIfAborted();
  return await runUnless(() => options.signal, image, command, options);
}

/** Like {@linkcode run}; `interrupted` is asked for its signal only when there is something that takes long. */
export async function runUnless(
  interrupted: () => AbortSignal | undefined,
  image: string,
  command: readonly string[],
  options: RunOptions,
): Promise<Container> {
  checkOptions(command, options);
  checkAttached(options);
  const folders = findFolders(options);
  let asked: { signal?: AbortSignal } = {};
  const found = await resolveImage(image, folders.images, {
    ...options,
    containers: folders.containers,
    get signal() {
      asked = { signal: asked.signal ?? interrupted() };
      return asked.signal;
    },
  });
  return await runOn(found, command, { ...options, ...asked }, folders);
}

/** Like {@linkcode run}, in a container of an image that has been found. */
export async function runOn(
  found: Image,
  command: readonly string[],
  options: RunOptions,
  folders: Pick<Folders, "images" | "containers">,
  harvest?: Harvest,
): Promise<Container> {
  const started = await startOn(found, command, options, folders.containers).finally(() => found.release?.());
  return superviseAttached(started, options, folders, harvest);
}

/**
 * Runs a command in a new container to its end and collects what it writes.
 *
 * @throws whatever {@linkcode run} throws.
 */
export async function output(image: string, command: readonly string[], options: RunOptions = {}): Promise<RunOutput> {
  await using container = await run(image, command, { stdout: "piped", stderr: "piped", ...options });
  return await container.output();
}
