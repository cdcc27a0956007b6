/**
 * A running command, in the shape of `Deno.ChildProcess`.
 *
 * @module
 */

import type { TerminalSize } from "../../program/launch_fds.ts";
import type { Streams } from "./streams.ts";

/** How a command ended, in the shape of `Deno.CommandStatus`. */
export interface CommandStatus {
  /** Whether the exit code is 0. */
  readonly success: boolean;
  /** The exit code; 128 plus the signal's number if a signal killed the command. */
  readonly code: number;
  /** The number of the signal that killed the command, or null. With `init` always null: init passes on 128 plus it. */
  readonly signal: number | null;
}

/** What a command wrote, as part of `Deno.CommandOutput`. */
export interface Written {
  /** All that it wrote to its standard output. */
  readonly stdout: Uint8Array<ArrayBuffer>;
  /** All that it wrote to its standard error. */
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

  /** Describes the process `pid`, which `kill` sends signals to. */
  constructor(
    /** The number of its process, as the host sees it. */
    readonly pid: number,
    streams: Streams,
    /** Resolves when it has ended. */
    readonly status: Promise<Status>,
    /** Sends a signal, by name or number. Default: SIGTERM. False if it has ended. */
    readonly kill: (signal?: Deno.Signal | number) => boolean,
  ) {
    this.#streams = streams;
  }

  /** The command's input. Throws `TypeError` unless `stdin` is `piped`. */
  get stdin(): WritableStream<Uint8Array> {
    return piped(this.#streams.stdin, "stdin");
  }

  /** The command's output. Throws `TypeError` unless `stdout` is `piped`. */
  get stdout(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return piped(this.#streams.stdout, "stdout");
  }

  /** The command's errors. Throws `TypeError` unless `stderr` is `piped`. */
  get stderr(): ReadableStream<Uint8Array<ArrayBuffer>> {
    return piped(this.#streams.stderr, "stderr");
  }

  /** Reads all output and waits for the end. Throws `TypeError` unless `stdout` and `stderr` are `piped`. */
  async output(): Promise<Status & Written> {
    const { stdout, stderr, resize } = this.#streams;
    piped(stdout, "stdout");
    if (!resize) piped(stderr, "stderr");
    const [out, err] = await Promise.all([bytesOf(stdout), bytesOf(stderr)]);
    return { ...await this.status, stdout: out, stderr: err };
  }

  /** Sets the size of its terminal. Throws `TypeError` unless it has one and its streams are piped. */
  resize(size: TerminalSize): void {
    piped(this.#streams.resize, "the terminal")(size);
  }
}
