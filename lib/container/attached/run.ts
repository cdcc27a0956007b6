/**
 * Attached containers (run): the command in a new container, supervised until it exits.
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

/** Creates and starts the container of `run`. */
async function startOn(
  image: Image,
  command: readonly string[],
  options: RunOptions,
  containers: string,
): Promise<RunningContainer> {
  const plan = await planContainer(image, command, options, containers);
  options.signal?.throwIfAborted();
  return createAndLaunch(plan, { launch, announce });
}

/** Refuses options of detached containers. Throws {@linkcode InputError} `not-detached`. */
export function checkAttached({ restart = "no", health }: RunOptions): void {
  const what = restart !== "no" ? "a restart policy" : health ? "a health check" : undefined;
  if (what === undefined) return;
  throw new InputError(`cannot use ${what}: the container is attached and ends with its caller`, {
    code: "not-detached",
    hint: "use --detach, or runDetached",
  });
}

/**
 * Runs a command in a new container of `image`: `host`, a directory or archive below `images/`, or a reference
 * such as `alpine:3.20`, which is pulled if it is missing. Default command: the image's.
 *
 * The standard streams are those of `Deno.Command`, except that `stdin` is `null` by default. Call it on the main
 * thread: the kernel kills the container when the thread that created it exits.
 *
 * @throws {InputError} for invalid options; nothing was created.
 * @throws {ImageError} if the image is missing or cannot be unpacked.
 * @throws {CgroupError} for limits that this host cannot set.
 * @throws {ContainerError} if the name is taken.
 * @throws {SpawnError} if a system call failed or the command could not be executed; nothing remains.
 */
export async function run(image: string, command: readonly string[], options: RunOptions = {}): Promise<Container> {
  options.signal?.throwIfAborted();
  return await runUnless(() => options.signal, image, command, options);
}

/** Runs like {@linkcode run}; calls `interrupted` for its signal only before work that takes long. */
export async function runUnless(
  interrupted: () => AbortSignal | undefined,
  image: string,
  command: readonly string[],
  options: RunOptions,
): Promise<Container> {
  checkOptions(command, options);
  checkAttached(options);
  const folders = findFolders(options);
  let { signal } = options;
  const found = await resolveImage(image, folders.images, {
    ...options,
    containers: folders.containers,
    interrupted: () => signal ??= interrupted(),
  });
  return await runOn(found, command, { ...options, signal }, folders);
}

/** Runs like {@linkcode run}, in a container of an image that has been resolved. */
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
 * Runs a command in a new container until it exits and collects its output.
 *
 * @throws whatever {@linkcode run} throws.
 */
export async function output(image: string, command: readonly string[], options: RunOptions = {}): Promise<RunOutput> {
  await using container = await run(image, command, { stdout: "piped", stderr: "piped", ...options });
  return await container.output();
}
