import { printable } from "./text/printable.ts";

/** Details of a {@linkcode SauropodError} beside its message. */
export interface ErrorDetails {
  /** A short stable name that programs can compare, such as `image-not-found`. */
  code: string;
  /** The facts of the message as data: paths, values, errno names. Default: none. */
  facts?: Readonly<Record<string, unknown>>;
  /** A next step, as one imperative sentence. Default: none. */
  hint?: string;
  /** The error behind this one. */
  cause?: unknown;
}

const LINES = "\n\t";

/**
 * Base class of all errors that Sauropod throws deliberately. The message tells the failed operation, its object and
 * the reason; {@linkcode SauropodError.hint} suggests a next step.
 */
export class SauropodError extends Error {
  /** A short stable name that programs can compare. */
  readonly code: string;
  /** The facts of the message as data. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** A next step, if there is one. */
  readonly hint?: string;

  /** Makes an error that says `message`. */
  constructor(message: string, details: ErrorDetails) {
    // Names in it may be an image's, a container's or a registry's, and it may be printed as it is.
    super(printable(message, LINES), { cause: details.cause });
    this.name = new.target.name;
    this.code = details.code;
    this.facts = details.facts ?? {};
    this.hint = details.hint === undefined ? undefined : printable(details.hint, LINES);
  }
}

/** Something the caller asked for makes no sense; nothing was made. */
export class InputError extends SauropodError {}

/** A limit cannot be set on this host, or a control group cannot be made. */
export class CgroupError extends SauropodError {}

/** An image cannot be found, read or unpacked. */
export class ImageError extends SauropodError {}

/** A container cannot be found, or is not in the state that a command needs. */
export class ContainerError extends SauropodError {}

/** A network cannot be found, made or used as asked. */
export class NetworkError extends SauropodError {}

/** Returns the message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A step of a container's program failed; nothing of the container is left. */
export class SpawnError extends SauropodError {
  /**
   * Exit code as of `docker run`: 127 the command was not found, 126 it could not be executed, 125 any other failure.
   */
  readonly exitCode: 125 | 126 | 127;

  /** Makes an error for a failure that a shell knows as `exitCode`. */
  constructor(message: string, details: ErrorDetails & { exitCode: 125 | 126 | 127 }) {
    super(message, details);
    this.exitCode = details.exitCode;
  }
}
