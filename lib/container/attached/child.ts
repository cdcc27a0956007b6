/**
 * A running command, in the shape of `Deno.ChildProcess`.
 *
 * @module
 */

import type { TerminalSize } from "../../program/launch_fds.ts";
import type { Streams } from "./streams.ts";

/** Exit status of a command, in the shape of `Deno.CommandStatus`. */
export interface CommandStatus {
  /** Whether the exit status is 0. */
  readonly success: boolean;
  /** The exit status; 128 plus the signal number if a signal killed the command. */
  readonly code: number;
  /** The number of the signal that killed the command, or null. Always null with `init`, which exits with 128 plus it. */
  readonly signal: number | null;
}

/** Collected output of a command, as part of `Deno.CommandOutput`. */
export interface Written {
  /** Its standard output. */
  readonly stdout: Uint8Array<ArrayBuffer>;
  /** Its standard error. */
  readonly stderr: Uint8Array<ArrayBuffer>;
}

function piped<T>(stream: T | undefined, name: string): T {
  if (stream === undefined) throw new TypeError(`${name} is not piped`);
  return stream;
}

async function bytesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>> | undefined): Promise<Uint8Array<ArrayBuffer>> {
  return stream ? await new Blob(await Array.fromAsync(stream)).bytes() : new Uint8Array();
}

/** A running command. */
export class Child<Status extends CommandStatus> {
  readonly #streams: Streams;

  /** Wraps the process `pid`, to which `kill` sends signals. */
  constructor(
    /** The PID on the host. */
    readonly pid: number,
    streams: Streams,
    /** Resolves when the command has exited. */
    readonly status: Promise<Status>,
    /** Sends a signal, by name or number. Default: SIGTERM. Returns false if the command has exited. */
    readonly kill: (signal?: Deno.Signal | number) => boolean,
  ) {
    this.#streams = streams;
  }

  /** Returns its standard input. Throws `TypeError` unless `stdin` is `piped`. */
  get stdin(): WritableStream<Uint8Array> {
    return piped(this.#streams.stdin, "stdin");
  }

  /** Returns its standard output. Throws `TypeError` unless `stdout` is `piped`. */
  get stdout(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return piped(this.#streams.stdout, "stdout");
  }

  /** Returns its standard error. Throws `TypeError` unless `stderr` is `piped`. */
  get stderr(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return piped(this.#streams.stderr, "stderr");
  }

  /** Collects all output and waits for the exit. Throws `TypeError` unless `stdout` and `stderr` are `piped`. */
  async output(): Promise<Status & Written> {
    const { stdout, stderr, resize } = this.#streams;
    piped(stdout, "stdout");
    if (!resize) piped(stderr, "stderr");
    const [out, err] = await Promise.all([bytesOf(stdout), bytesOf(stderr)]);
    return { ...await this.status, stdout: out, stderr: err };
  }

  /** Sets the size of its terminal. Throws `TypeError` unless it has a terminal and piped streams. */
  resize(size: TerminalSize): void {
    piped(this.#streams.resize, "the terminal")(size);
  }
}
