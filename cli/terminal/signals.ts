/**
 * Signal forwarding to a container.
 *
 * @module
 */

import { divertUserSignal, signalNumber } from "../../lib/host/signals.ts";

const FORWARDED = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT"] as const;
const PATIENCE = 3;

/** A signal that arrived before there was a process to forward it to. */
export class Interrupted extends Error {
  /** Creates the error with the exit status for the signal. */
  constructor(readonly exitCode: number) {
    super(`interrupted by signal ${exitCode - 128}`);
  }
}

/** A process that gets signals. */
interface Target {
  /** Sends a signal. */
  kill(signal: Deno.Signal): boolean;
}

/** Signal forwarding in progress. */
interface Forwarding {
  /** Returns a signal that aborts long work before the process runs. Not calling it saves start-up time. */
  interrupted(): AbortSignal;
  /** Forwards signals to `target` from now on. */
  connect(target: Target): void;
}

let onUserSignal = (): void => Deno.exit(128 + signalNumber("SIGUSR1"));
let taken = false;

/** Makes SIGUSR1 end this process or be forwarded; Deno would open a debugger. */
export function handleUserSignal(): void {
  if (taken) return;
  taken = true;
  divertUserSignal(() => onUserSignal());
}

/**
 * Forwards signals once there is a target; the third SIGINT or SIGTERM kills it. Before, a signal aborts work that asked
 * for an `AbortSignal`, or else ends the command in its event loop with the exit status for the signal.
 */
export function passSignals(): Forwarding {
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
      handleUserSignal();
    }
  }
  return {
    interrupted: () => (before ??= new AbortController()).signal,
    connect: (running) => target = running,
  };
}
