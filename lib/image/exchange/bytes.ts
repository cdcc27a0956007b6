/**
 * Bytes from streams, compressed or measured on their way.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { createGzip } from "node:zlib";
import type { ByteSource } from "../decompress.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const CHUNK = 1 << 18;
const GZIP_LEVEL = 6;

function isOwn(chunk: Uint8Array): chunk is Bytes {
  return chunk.buffer instanceof ArrayBuffer;
}

/** The bytes of a stream. */
export async function* streamBytes(stream: ReadableStream<Uint8Array>, signal?: AbortSignal): AsyncGenerator<Bytes> {
  const reader = stream.getReader();
  const stop = (): void => void reader.cancel(signal?.reason).catch(() => {});
  signal?.addEventListener("abort", stop);
  try {
    for (;;) {
      const { value, done } = await reader.read();
      signal?.throwIfAborted();
      if (done) return;
      yield isOwn(value) ? value : new Uint8Array(value);
    }
  } finally {
    signal?.removeEventListener("abort", stop);
    stop();
  }
}

/** Compresses with gzip; the same bytes give the same bytes. */
export async function* gzip(source: ByteSource): AsyncGenerator<Bytes> {
  const transform = createGzip({ level: GZIP_LEVEL, chunkSize: CHUNK });
  const input = Readable.from(source, { objectMode: true, highWaterMark: 1 });
  input.on("error", (error) => transform.destroy(error));
  input.pipe(transform);
  try {
    for await (const chunk of transform) yield new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  } finally {
    input.destroy();
    transform.destroy();
  }
}

/** A digest that is made while bytes go by. */
export interface Measured {
  /** Takes the next bytes. */
  add(bytes: Bytes): void;
  /** What went by. To be called once. */
  result(): { digest: string; size: number };
}

/** Starts measuring. */
export function measure(): Measured {
  const hash = createHash("sha256");
  let size = 0;
  return {
    add(bytes) {
      hash.update(bytes);
      size += bytes.length;
    },
    result: () => ({ digest: `sha256:${hash.digest("hex")}`, size }),
  };
}

/** The digest and size of all that comes. */
export async function measureAll(source: ByteSource): Promise<{ digest: string; size: number }> {
  const measured = measure();
  for await (const chunk of source) measured.add(chunk);
  return measured.result();
}

/** Hands bytes on while they are measured. */
export async function* measuring(source: ByteSource, measured: Measured): AsyncGenerator<Bytes> {
  for await (const chunk of source) {
    measured.add(chunk);
    yield chunk;
  }
}
