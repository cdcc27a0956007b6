/**
 * Bytes through the compressors and decompressors of `node:zlib`.
 *
 * @module
 */

import type { Transform } from "node:stream";
import { type ByteSource, CHUNK } from "./chunks.ts";

const GZIP_LEVEL = 6;

/** Error of the source, not of the transform: it is rethrown as it is. */
class SourceError {
  constructor(readonly error: unknown) {}
}

/** Writes all of `source`, each chunk when the one before is used up. */
async function feed(transform: Transform, chunks: AsyncIterator<Uint8Array> | Iterator<Uint8Array>): Promise<void> {
  for (;;) {
    const next = await Promise.resolve(chunks.next()).catch((error) => {
      throw new SourceError(error);
    });
    if (next.done || transform.destroyed) break;
    // A failure is told to who reads.
    await new Promise<void>((resolve) => void transform.write(next.value, () => resolve()));
  }
  transform.end();
}

/**
 * Pipes `source` through `transform`. A chunk is valid until the next is asked for: its memory is freed then, as
 * the garbage of large streams would be collected late.
 *
 * @throws what `source` throws, and what `failure` makes of an error of the transform.
 */
export async function* transformed(
  transform: Transform,
  source: ByteSource,
  failure: (error: unknown) => unknown = (error) => error,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const chunks = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  // The reader receives the error, perhaps later.
  transform.on("error", () => {});
  let stopped: SourceError | undefined, used: ArrayBuffer | undefined;
  feed(transform, chunks).catch((error) => {
    if (error instanceof SourceError) stopped = error;
    transform.destroy(new Error("there is no more to come"));
  });
  try {
    for await (const { buffer, byteOffset, byteLength } of transform) {
      if (used !== buffer) {
        used?.transfer(0);
        used = buffer;
      }
      yield new Uint8Array(buffer, byteOffset, byteLength);
    }
  } catch (error) {
    throw stopped ? stopped.error : failure(error);
  } finally {
    transform.destroy();
    used?.transfer(0);
    await chunks.return?.();
  }
}

/** Compresses with gzip; the same bytes give the same bytes. */
export async function* gzip(source: ByteSource): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const { createGzip } = await import("node:zlib");
  yield* transformed(createGzip({ level: GZIP_LEVEL, chunkSize: CHUNK }), source);
}
