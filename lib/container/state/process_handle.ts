/**
 * Handles of processes (pidfds): signalling and awaiting the process that owns a container, and no other with its pid.
 *
 * @module
 */

import { Fd } from "../../../ffi/fs/fd.ts";
import { forget, ready } from "../../../ffi/process/events.ts";
import { openProcess, sendSignal } from "../../../ffi/process/process.ts";
import { isAlive, type ProcessIdentity } from "../../host/process_identity.ts";

function openPidfd(pid: number): Fd | undefined {
  try {
    return new Fd(openProcess(pid));
  } catch {
    return undefined;
  }
}

/** Runs `work` with a pidfd of a process. Returns undefined if the process has exited. */
export async function withPidfd<T>(
  identity: ProcessIdentity,
  work: (pidfd: number) => T | Promise<T>,
): Promise<T | undefined> {
  using pidfd = openPidfd(identity.pid);
  // The pidfd pins the process: from here on the pid cannot be reused.
  return pidfd && isAlive(identity) ? await work(pidfd.number) : undefined;
}

/** Sends a signal to a process. Returns false if it has exited. */
export async function signalProcess(identity: ProcessIdentity, signal: number): Promise<boolean> {
  return await withPidfd(identity, (pidfd) => sendSignal(pidfd, signal)) ?? false;
}

/** Waits for a process to exit. Returns false if that takes longer than `milliseconds`. */
export async function waitForExit(identity: ProcessIdentity, milliseconds = Infinity): Promise<boolean> {
  const exited = await withPidfd(identity, async (pidfd) => {
    let late = false;
    const readable = ready(pidfd, "in");
    const giveUp = (): void => {
      late = true;
      forget(pidfd);
    };
    const timer = Number.isFinite(milliseconds) ? setTimeout(giveUp, milliseconds) : undefined;
    await readable;
    clearTimeout(timer);
    forget(pidfd);
    return !late;
  });
  return exited ?? true;
}
