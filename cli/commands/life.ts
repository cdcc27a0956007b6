/**
 * `sauropod start`, `stop`, `kill`, `wait`, `restart` and `rename`.
 *
 * @module
 */

import { renameContainer } from "../../lib/container/detached/rename.ts";
import { start as startContainer } from "../../lib/container/detached/start.ts";
import {
  kill as killContainer,
  restart as restartContainer,
  stop as stopContainer,
  wait as awaitContainer,
} from "../../lib/container/detached/stop.ts";
import { InputError } from "../../lib/errors.ts";
import { findFolders, type FolderOptions } from "../../lib/host/folders.ts";
import { startAttached } from "./attach.ts";
import { forEach } from "./each.ts";
import { exitCodeOf } from "../output/output.ts";

/** Runs `work` for each container. With a single one, the exit status is that of its error. */
function each(containers: readonly string[], work: (container: string) => Promise<string | void>): Promise<number> {
  return forEach(containers, work, { statusOf: containers.length === 1 ? exitCodeOf : undefined });
}

/** The flags of `start`. */
export interface StartFlags extends FolderOptions {
  readonly attach?: boolean;
  readonly interactive?: boolean;
  readonly detachKeys?: string;
}

/** Starts containers. */
export async function start(flags: StartFlags, ...containers: string[]): Promise<number> {
  const [first = "", ...others] = containers;
  if (flags.attach) {
    if (others.length > 0) throw new InputError("cannot attach to more than one container", { code: "bad-attach" });
    return await startAttached(first, { ...flags, noStdin: !flags.interactive });
  }
  return await each(containers, async (container) => {
    await startContainer(container, findFolders(flags));
  });
}

/** The flags of `stop` and `restart`. */
export interface StopFlags extends FolderOptions {
  readonly time?: number;
  readonly signal?: string;
}

/** Stops containers. */
export async function stop(flags: StopFlags, ...containers: string[]): Promise<number> {
  return await each(containers, async (container) => {
    await stopContainer(container, { ...findFolders(flags), timeout: flags.time, signal: flags.signal });
  });
}

/** Restarts containers. */
export async function restart(flags: StopFlags, ...containers: string[]): Promise<number> {
  return await each(containers, async (container) => {
    await restartContainer(container, { ...findFolders(flags), timeout: flags.time, signal: flags.signal });
  });
}

/** The flags of `kill`. */
export interface KillFlags extends FolderOptions {
  readonly signal?: string;
}

/** Sends a signal to containers. */
export async function kill(flags: KillFlags, ...containers: string[]): Promise<number> {
  return await each(containers, async (container) => {
    await killContainer(container, flags.signal ?? "SIGKILL", findFolders(flags));
  });
}

/** Waits for containers and prints their exit statuses. */
export async function wait(flags: FolderOptions, ...containers: string[]): Promise<number> {
  return await each(containers, async (container) => String(await awaitContainer(container, findFolders(flags))));
}

/** Renames a container. */
export function rename(flags: FolderOptions, container: string, name: string): void {
  renameContainer(findFolders(flags).containers, container, name);
}
