/**
 * Web streams over the caller's ends of a container's pipes and terminal.
 *
 * @module
 */

import { forget, ready } from "../../../ffi/process/events.ts";
import { close, readNow, sendNow, SystemError, writeNow } from "../../../ffi/fs/fs.ts";
import { resizeTerminal, setNonblocking } from "../../../ffi/process/process.ts";
import type { TerminalSize } from "../../program/launch_fds.ts";

/**
 * A descriptor and whether it is still open. Check it again after each wait: a closed number may be reused for another
 * file.
 */
export interface Handle {
  /** The descriptor. */
  readonly fd: number;
  /** Whether it is open. */
  readonly isOpen: () => boolean;
  /** Closes it; does nothing when closed. */
  readonly close: () => void;
}

const CHUNK = 65536;
const END_OF_TRANSMISSION = new Uint8Array([4]);
// read(2) of a terminal after its last process has closed it.
const EIO = 5;

/** Takes over a descriptor and makes it nonblocking. */
export function handle(fd: number): Handle {
  let open = true;
  setNonblocking(fd);
  return {
    fd,
    isOpen: () => open,
    close(): void {
      if (!open) return;
      open = false;
      forget(fd);
      close(fd);
    },
  };
}

function isGone(error: unknown): boolean {
  return error instanceof SystemError && (error.errno === EIO || error.code === "EPIPE" || error.code === "ECONNRESET");
}

/** Waits for data and reads it. Returns 0 at end of file, or if the handle is closed meanwhile. */
async function readSome(source: Handle, buffer: Uint8Array<ArrayBuffer>): Promise<number> {
  while (source.isOpen()) {
    try {
      const n = readNow(source.fd, buffer);
      if (n >= 0) return n;
    } catch (error) {
      if (isGone(error)) return 0;
      throw error;
    }
    await ready(source.fd, "in");
  }
  return 0;
}

/** Writes without waiting; returns -1 if it would block. Throws `Deno.errors.BrokenPipe` as `Deno.ChildProcess` does. */
export function writeSome(target: Handle, bytes: Uint8Array<ArrayBuffer>): number {
  if (!target.isOpen()) throw new Deno.errors.BrokenPipe("the container has exited");
  try {
    return writeNow(target.fd, bytes);
  } catch (error) {
    if (!(error instanceof SystemError) || error.code !== "EPIPE") throw error;
    throw new Deno.errors.BrokenPipe("the container has closed its standard input", { cause: error });
  }
}

async function writeAll(target: Handle, bytes: Uint8Array): Promise<void> {
  let rest = new Uint8Array(bytes);
  while (rest.length > 0) {
    const n = writeSome(target, rest);
    if (n < 0) await ready(target.fd, "out");
    else rest = rest.subarray(n);
  }
}

/** Returns a stream of the data of `source`. */
export function readable(source: Handle): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    async pull(controller): Promise<void> {
      const buffer = new Uint8Array(CHUNK);
      const n = await readSome(source, buffer);
      if (n > 0) return controller.enqueue(buffer.subarray(0, n));
      if (source.isOpen()) controller.close();
      source.close();
    },
    cancel: source.close,
  }, { highWaterMark: 0 });
}

/** Returns a stream that writes to `target`, and closes it at the end. */
export function writable(target: Handle): WritableStream<Uint8Array> {
  return new WritableStream({ write: (bytes) => writeAll(target, bytes), close: target.close, abort: target.close });
}

/** Returns a stream that writes to a terminal; its end sends end-of-transmission and leaves the terminal open for output. */
export function typewriter(terminal: Handle): WritableStream<Uint8Array> {
  const end = (): Promise<void> => terminal.isOpen() ? writeAll(terminal, END_OF_TRANSMISSION) : Promise.resolve();
  return new WritableStream({ write: (bytes) => writeAll(terminal, bytes), close: end });
}

/** Sets a terminal's size; does nothing once it is closed. */
export function resize(terminal: Handle, { columns, rows }: TerminalSize): void {
  if (terminal.isOpen()) resizeTerminal(terminal.fd, columns, rows);
}

/**
 * Copies the container's output to a descriptor of the caller that it must not have itself, until either is closed: the
 * container gets a broken pipe then.
 */
export async function relay(source: Handle, to: 1 | 2): Promise<void> {
  const buffer = new Uint8Array(CHUNK);
  try {
    for (let n; (n = await readSome(source, buffer)) > 0;) {
      for (let rest = buffer.subarray(0, n); rest.length > 0;) {
        const written = sendNow(to, rest);
        if (written < 0) await ready(to, "out");
        else rest = rest.subarray(written);
      }
    }
  } catch (error) {
    if (!isGone(error)) throw error;
  } finally {
    source.close();
  }
}
