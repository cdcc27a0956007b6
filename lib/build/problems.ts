/**
 * Errors of a Dockerfile, with file and line.
 *
 * @module
 */

import { SystemError } from "../../ffi/fs/fs.ts";
import { ContainerError, ImageError, InputError, messageOf, SauropodError } from "../errors.ts";

/** Position in a Dockerfile. */
export interface Position {
  /** The file as the user called it. */
  readonly file: string;
  /** The number of the line, from 1. */
  readonly line: number;
}

/** How much is said at most: words of a Dockerfile can have a megabyte. */
const LONGEST = 1000;

/** Returns an error about a line of a Dockerfile. Nothing was made. */
export function wrong({ file, line }: Position, message: string, code: string, hint?: string): InputError {
  const shown = message.length > LONGEST ? `${message.slice(0, LONGEST)}…` : message;
  return new InputError(`${file}:${line}: ${shown}`, { code, facts: { file, line }, hint });
}

/** Returns the error for something that Dockerfiles can say and that is not done here. */
export function unsupported(at: Position, what: string, hint: string): InputError {
  return wrong(at, `${what} is not supported`, "dockerfile-unsupported", hint);
}

/** Returns the error for a line that does not say what it must. */
export function malformed(at: Position, why: string, hint?: string): InputError {
  return wrong(at, why, "bad-dockerfile", hint);
}

/** Rejects to copy several things to what is no directory. */
export function checkTarget(at: Position, count: number, target: string): void {
  if (count <= 1 || target.endsWith("/")) return;
  throw malformed(at, `several files go into a folder: ${target} must end with a /`, `write ${target}/`);
}

/** Returns an error of one step, as one that says where it stands. */
export function located({ file, line }: Position, error: unknown): unknown {
  const known = error instanceof SauropodError || error instanceof SystemError;
  if (!known || messageOf(error).startsWith(`${file}:`)) return error;
  const message = `${file}:${line}: ${messageOf(error)}`, cause = error;
  if (error instanceof SystemError) {
    return new ImageError(message, { code: "build-failed", facts: { file, line, errno: error.code }, cause });
  }
  const { code, facts, hint } = error, details = { code, facts: { ...facts, file, line }, hint, cause };
  if (error instanceof InputError) return new InputError(message, details);
  return error instanceof ContainerError ? new ContainerError(message, details) : new ImageError(message, details);
}
