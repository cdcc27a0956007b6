/**
 * `sauropod run`: a command in a new container.
 *
 * @module
 */

import { type Container, run as start } from "../lib/container/run.ts";
import { findFolders } from "../lib/folders.ts";
import { signalNumber } from "../lib/signals.ts";
import { formatSize } from "../lib/size.ts";
import { type ContainerFlags, containerOptions } from "./flags.ts";

const FORWARDED = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT"] as const;
const PATIENCE = 3;

/** A signal came before there was a container to pass it to. */
export class Interrupted extends Error {
  /** The exit code that tells a shell of the signal. */
  readonly exitCode: number;

  /** Makes the error for `signal`. */
  constructor(signal: Deno.Signal) {
    super(`interrupted by ${signal}`);
    this.exitCode = 128 + signalNumber(signal);
  }
}

/**
 * Passes signals on; before the container starts they end the wait for it. The third request to stop kills a container
 * that ignores them.
 */
function forwardSignals(): { early: AbortSignal; connect: (container: Container) => void } {
  const before = new AbortController();
  let requests = 0;
  let target: Container | undefined;
  for (const signal of FORWARDED) {
    Deno.addSignalListener(signal, () => {
      if (signal === "SIGINT" || signal === "SIGTERM") requests++;
      if (target) target.kill(requests < PATIENCE ? signal : "SIGKILL");
      else if (signal !== "SIGCONT") before.abort(new Interrupted(signal));
    });
  }
  return { early: before.signal, connect: (container) => target = container };
}

/** Runs the command to its end. Returns its exit code, and what the user should know beside. */
export async function run(
  flags: ContainerFlags,
  image: string,
  command: readonly string[],
): Promise<{ code: number; warning?: string }> {
  const options = await containerOptions(flags, findFolders(flags));
  const { early, connect } = forwardSignals();
  await using container = await start(image, command, {
    ...options,
    keep: !flags.rm,
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
    ...(flags.tty === undefined ? {} : { terminal: flags.tty }),
    signal: early,
  });
  connect(container);
  const { code, oomKilled, memoryLimit } = await container.status;
  if (!oomKilled) return { code };
  const limit = memoryLimit === undefined ? "" : ` at its limit of ${formatSize(memoryLimit)}`;
  return { code, warning: `sauropod: out of memory: the kernel killed a process of the container${limit}` };
}
