/**
 * `sauropod run`: a command in a new container.
 *
 * @module
 */

import { type Container, run as start } from "../lib/container/run.ts";
import { findFolders } from "../lib/folders.ts";
import { formatSize } from "../lib/size.ts";
import { type ContainerFlags, containerOptions } from "./flags.ts";

const FORWARDED = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT"] as const;
const PATIENCE = 3;

/**
 * Passes signals on, from before the container starts. The third request to stop kills a container that ignores them.
 * Returns what connects it with the container.
 */
function forwardSignals(): (container: Container) => void {
  let requests = 0;
  let target: Container | undefined;
  const early: Deno.Signal[] = [];
  for (const signal of FORWARDED) {
    Deno.addSignalListener(signal, () => {
      if (signal === "SIGINT" || signal === "SIGTERM") requests++;
      if (!target) early.push(signal);
      else target.kill(requests < PATIENCE ? signal : "SIGKILL");
    });
  }
  return (container) => {
    target = container;
    early.forEach((signal) => container.kill(signal));
  };
}

/** Runs the command to its end. Returns its exit code, and what the user should know beside. */
export async function run(
  flags: ContainerFlags,
  image: string,
  command: readonly string[],
): Promise<{ code: number; warning?: string }> {
  const options = await containerOptions(flags, findFolders(flags));
  const connect = forwardSignals();
  await using container = await start(image, command, {
    ...options,
    keep: !flags.rm,
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
    ...(flags.tty === undefined ? {} : { terminal: flags.tty }),
  });
  connect(container);
  const { code, oomKilled } = await container.status;
  if (!oomKilled) return { code };
  const limit = formatSize(options.limits?.memory ?? 0);
  return {
    code,
    warning: `sauropod: out of memory: the kernel killed a process of the container at its limit of ${limit}`,
  };
}
