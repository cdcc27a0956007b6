/**
 * Decompression of a file in a thread of its own. Buffers of a fixed number go there and back, so that neither side runs
 * ahead of the other.
 *
 * @module
 */

import { type SentError, unpackError } from "./thread.ts";

/** Message to the thread: a buffer to fill. */
export type ToInflate = ArrayBuffer;

/** Message from the thread: a filled buffer and the number of its bytes, the end, or an error. */
export type FromInflate = { buffer: ArrayBuffer; length: number } | "end" | { error: SentError };

const BUFFERS = 4, BUFFER_SIZE = 1 << 20;

/** Yields the bytes from the thread behind `port`. A chunk is valid until the next is asked for. */
export async function* inflatedFrom(port: MessagePort, signal: AbortSignal): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const arrived: FromInflate[] = [];
  let wake = (): void => {};
  const give = (buffer: ToInflate): void => port.postMessage(buffer, [buffer]);
  port.onmessage = (event) => {
    arrived.push(event.data);
    wake();
  };
  signal.addEventListener("abort", () => wake());
  try {
    for (let i = 0; i < BUFFERS; i++) give(new ArrayBuffer(BUFFER_SIZE));
    for (;;) {
      signal.throwIfAborted();
      const message = arrived.shift();
      if (message === undefined) await new Promise<void>((resolve) => wake = resolve);
      else if (message === "end") return;
      else if ("error" in message) throw unpackError(message.error);
      else {
        yield new Uint8Array(message.buffer, 0, message.length);
        give(message.buffer);
      }
    }
  } finally {
    port.close();
  }
}
