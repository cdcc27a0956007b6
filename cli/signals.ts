/**
 * Passing signals on to what runs in a container.
 *
 * @module
 */

import { signalNumber } from "../lib/signals.ts";

const FORWARDED = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT"] as const;
const PATIENCE = 3;

/** What signals are passed to. */
interface Target {
  /** Sends one. */
  kill(signal: Deno.Signal): boolean;
}

/**
 * Passes signals on to the target that the returned function is given; the third request to stop kills one that ignores
 * them. Until then they end the command, with the exit code that tells a shell of it, when it comes to its event loop:
 * nothing is interrupted that must be brought to its end.
 */
export function passSignals(): (target: Target) => void {
  let requests = 0;
  let target: Target | undefined;
  for (const signal of FORWARDED) {
    Deno.addSignalListener(signal, () => {
      if (signal === "SIGINT" || signal === "SIGTERM") requests++;
      if (target) target.kill(requests < PATIENCE ? signal : "SIGKILL");
      else if (signal !== "SIGCONT") Deno.exit(128 + signalNumber(signal));
    });
  }
  return (running) => target = running;
}
