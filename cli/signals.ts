/**
 * Passing signals on to what runs in a container.
 *
 * @module
 */

import { signalNumber } from "../lib/signals.ts";

const FORWARDED = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT"] as const;
const PATIENCE = 3;

/** A signal came before there was a process to pass it to. */
export class Interrupted extends Error {
  /** The exit code that tells a shell of the signal. */
  readonly exitCode: number;

  /** Makes the error for `signal`. */
  constructor(signal: Deno.Signal) {
    super(`interrupted by ${signal}`);
    this.exitCode = 128 + signalNumber(signal);
  }
}

/** What signals are passed to. */
interface Target {
  /** Sends one. */
  kill(signal: Deno.Signal): boolean;
}

/**
 * Passes signals on; before the process starts they end the wait for it. The third request to stop kills one that
 * ignores them.
 */
export function forwardSignals(): { early: AbortSignal; connect: (target: Target) => void } {
  const before = new AbortController();
  let requests = 0;
  let target: Target | undefined;
  for (const signal of FORWARDED) {
    Deno.addSignalListener(signal, () => {
      if (signal === "SIGINT" || signal === "SIGTERM") requests++;
      if (target) target.kill(requests < PATIENCE ? signal : "SIGKILL");
      else if (signal !== "SIGCONT") before.abort(new Interrupted(signal));
    });
  }
  return { early: before.signal, connect: (running) => target = running };
}
