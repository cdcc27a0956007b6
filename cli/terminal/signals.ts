/**
 * Passing signals on to what runs in a container.
 *
 * @module
 */

import { divertUserSignal, signalNumber } from "../../lib/host/signals.ts";

const FORWARDED = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT"] as const;
const PATIENCE = 3;

/** A signal came before there was a process to pass it to. */
export class Interrupted extends Error {
  /** Makes the error, with the exit code that tells a shell of the signal. */
  constructor(readonly exitCode: number) {
    super(`interrupted by signal ${exitCode - 128}`);
  }
}

/** What signals are passed to. */
interface Target {
  /** Sends one. */
  kill(signal: Deno.Signal): boolean;
}

/** What becomes of signals. */
interface Passing {
  /** For what takes long before the process runs: a signal interrupts it. Who never asks for this starts sooner. */
  interrupted(): AbortSignal;
  /** From now on signals are passed to it. */
  connect(target: Target): void;
}

let onUserSignal = (): void => Deno.exit(128 + signalNumber("SIGUSR1"));
let taken = false;

/** From now on SIGUSR1 ends this process, as it does others, or is passed on; Deno would open a debugger. */
export function takeUserSignal(): void {
  if (taken) return;
  taken = true;
  Deno.addSignalListener(divertUserSignal(), () => onUserSignal());
}

/**
 * Passes signals on once there is something to pass them to; the third request to stop kills one that ignores them.
 * Until then they interrupt what asks for it, or end the command when it comes to its event loop, with the exit code
 * that tells a shell of the signal.
 */
export function passSignals(): Passing {
  let requests = 0;
  let before: AbortController | undefined;
  let target: Target | undefined;
  for (const signal of FORWARDED) {
    const pass = (): void => {
      if (signal === "SIGINT" || signal === "SIGTERM") requests++;
      if (target) return void target.kill(requests < PATIENCE ? signal : "SIGKILL");
      if (signal === "SIGCONT") return;
      const exitCode = 128 + signalNumber(signal);
      if (before) before.abort(new Interrupted(exitCode));
      else Deno.exit(exitCode);
    };
    if (signal !== "SIGUSR1") Deno.addSignalListener(signal, pass);
    else {
      onUserSignal = pass;
      takeUserSignal();
    }
  }
  return {
    interrupted: () => (before ??= new AbortController()).signal,
    connect: (running) => target = running,
  };
}
