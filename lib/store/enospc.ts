/**
 * Saying that a disk is full, and which.
 *
 * @module
 */

import { ImageError, messageOf } from "../errors.ts";

const FULL: readonly unknown[] = ["ENOSPC", "EDQUOT"];

/** Reports whether an error was caused by a full disk (ENOSPC, EDQUOT). */
export function isFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  // Errors of threads have lost their cause.
  const errno = error instanceof ImageError ? error.facts.errno : undefined;
  return "code" in error && FULL.includes(error.code) || FULL.includes(errno) || isFull(error.cause);
}

/** Returns the error for a directory that has no room left for something; `why` says for what. */
export function noRoom(folder: string, why: string, cause?: unknown): ImageError {
  return new ImageError(`no space left for ${folder}: ${why}`, {
    code: "store-full",
    facts: { folder, error: why },
    hint: "make room, perhaps by sauropod images prune, and try again; --images and $SAUROPOD_HOME name another place",
    cause,
  });
}

/**
 * Runs `work`, which writes to `folder` alone.
 *
 * @throws {ImageError} `store-full` if there was no room for what it writes, and what `work` throws.
 */
export async function explainDiskFull<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isFull(error)) throw error;
    throw noRoom(folder, messageOf(error), error);
  }
}
