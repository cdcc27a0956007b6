/**
 * `sauropod run`: a command in a new container.
 *
 * @module
 */

import { type Container, run as start } from "../lib/container/run.ts";
import { findFolders } from "../lib/folders.ts";
import { type ContainerFlags, containerOptions } from "./flags.ts";
import type { Context } from "./context.ts";
import { formatSize } from "../lib/size.ts";
import { say } from "./text.ts";

/** The flags of `run`. */
export interface RunFlags extends ContainerFlags {
  /** Remove the container's folder at its end. */
  readonly rm?: boolean;
  /** Standard input goes to the container; it always does. */
  readonly interactive?: boolean;
  /** Give the container a terminal. */
  readonly tty?: boolean;
}

const FORWARDED = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT"] as const;
const PATIENCE = 3;

/** Passes signals on. The third request to stop kills a container that ignores them. */
function forwardSignals(container: Container): void {
  let requests = 0;
  for (const signal of FORWARDED) {
    Deno.addSignalListener(signal, () => {
      if (signal === "SIGINT" || signal === "SIGTERM") requests++;
      if (requests < PATIENCE) container.kill(signal);
      else container.kill("SIGKILL");
    });
  }
}

/** Runs the command and ends with its exit code. */
export async function run(this: Context, flags: RunFlags, image: string, ...command: string[]): Promise<void> {
  const options = containerOptions(flags, findFolders(flags));
  await using container = await start(image, command, {
    ...options,
    keep: !flags.rm,
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
    ...(flags.tty ? { terminal: true } : {}),
  });
  forwardSignals(container);
  const { code, oomKilled } = await container.status;
  if (oomKilled) {
    const limit = formatSize(options.limits?.memory ?? 0);
    say(`sauropod: out of memory: the kernel killed a process of the container at its limit of ${limit}`);
  }
  this.process.exitCode = code;
}
