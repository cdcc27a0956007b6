/**
 * `sauropod start`, `stop`, `kill`, `wait`, `restart`, `rename`: the life of containers that outlive a command.
 *
 * @module
 */

import { renameContainer } from "../lib/container/rename.ts";
import { start as startContainer } from "../lib/container/start.ts";
import {
  kill as killContainer,
  restart as restartContainer,
  stop as stopContainer,
  wait as awaitContainer,
} from "../lib/container/stop.ts";
import { InputError, SauropodError } from "../lib/errors.ts";
import { findFolders, type FolderOptions } from "../lib/folders.ts";
import { startAttached } from "./attach.ts";
import type { Context } from "./context.ts";
import { exitCodeOf, print, sayError } from "./text.ts";

/** Does `work` with each container; those with which it cannot be done are said, and the command ends with 1 or more. */
async function each(
  { process }: Context,
  containers: readonly string[],
  work: (container: string) => Promise<string>,
): Promise<void> {
  for (const container of containers) {
    try {
      print(await work(container) + "\n");
    } catch (error) {
      if (!(error instanceof SauropodError)) throw error;
      sayError(error);
      process.exitCode = containers.length === 1 ? exitCodeOf(error) : 1;
    }
  }
}

/** The flags of `start`. */
export interface StartFlags extends FolderOptions {
  /** Connect with it. */
  readonly attach?: boolean;
  /** Connect standard input, too. */
  readonly interactive?: boolean;
  /** The keys that disconnect. */
  readonly detachKeys?: string;
}

/** Starts containers. */
export async function start(this: Context, flags: StartFlags, ...containers: string[]): Promise<void> {
  const [first = "", ...others] = containers;
  if (flags.attach) {
    if (others.length > 0) throw new InputError("only one container can be attached to", { code: "bad-attach" });
    this.process.exitCode = await startAttached(first, { ...flags, noStdin: !flags.interactive });
    return;
  }
  await each(this, containers, async (container) => {
    await startContainer(container, findFolders(flags));
    return container;
  });
}

/** The flags of `stop` and `restart`. */
export interface StopFlags extends FolderOptions {
  /** Seconds. */
  readonly time?: number;
  /** A signal. */
  readonly signal?: string;
}

/** Ends containers. */
export async function stop(this: Context, flags: StopFlags, ...containers: string[]): Promise<void> {
  await each(this, containers, async (container) => {
    await stopContainer(container, { ...findFolders(flags), timeout: flags.time, signal: flags.signal });
    return container;
  });
}

/** Ends containers and starts them again. */
export async function restart(this: Context, flags: StopFlags, ...containers: string[]): Promise<void> {
  await each(this, containers, async (container) => {
    await restartContainer(container, { ...findFolders(flags), timeout: flags.time, signal: flags.signal });
    return container;
  });
}

/** The flags of `kill`. */
export interface KillFlags extends FolderOptions {
  /** A signal. */
  readonly signal?: string;
}

/** Sends a signal to containers. */
export async function kill(this: Context, flags: KillFlags, ...containers: string[]): Promise<void> {
  await each(this, containers, async (container) => {
    await killContainer(container, flags.signal ?? "SIGKILL", findFolders(flags));
    return container;
  });
}

/** Waits for the end of containers and prints their exit codes. */
export async function wait(this: Context, flags: FolderOptions, ...containers: string[]): Promise<void> {
  await each(this, containers, async (container) => String(await awaitContainer(container, findFolders(flags))));
}

/** Gives a container another name. */
export function rename(this: Context, flags: FolderOptions, container: string, name: string): void {
  renameContainer(findFolders(flags).containers, container, name);
}
