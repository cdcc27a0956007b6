/**
 * The process that holds a container: the monitor of a detached one, or whoever runs an attached one.
 *
 * @module
 */

import { close } from "../../../ffi/fs/fs.ts";
import { forget, ready } from "../../../ffi/process/events.ts";
import { openProcess, sendSignal } from "../../../ffi/process/process.ts";
import { isAlive, type ProcessIdentity } from "../../host/process_identity.ts";

/** Does `work` with a pidfd of a process; undefined if it has ended. */
export async function withPidfd<T>(
  mark: ProcessIdentity,
  work: (pidfd: number) => T | Promise<T>,
): Promise<T | undefined> {
  let pidfd: number;
  try {
    pidfd = openProcess(mark.pid);
  } catch {
    return undefined;
  }
  try {
    // Only now can the number not become another's.
    return isAlive(mark) ? await work(pidfd) : undefined;
  } finally {
    close(pidfd);
  }
}

/** Sends a signal to a process; false if it has ended. */
export async function signalProcess(mark: ProcessIdentity, signal: number): Promise<boolean> {
  return await withPidfd(mark, (pidfd) => sendSignal(pidfd, signal)) ?? false;
}

/** Resolves when a process has ended: true. False if that takes longer than `milliseconds`. */
export async function waitForExit(mark: ProcessIdentity, milliseconds = Infinity): Promise<boolean> {
  const ended = await withPidfd(mark, async (pidfd) => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<false>((resolve) => {
      if (Number.isFinite(milliseconds)) timer = setTimeout(() => resolve(false), milliseconds);
    });
    try {
      return await Promise.race([ready(pidfd, "in").then(() => true), late]);
    } finally {
      clearTimeout(timer);
      forget(pidfd);
    }
  });
  return ended ?? true;
}
