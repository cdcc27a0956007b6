/**
 * Bytes that go by in chunks: from files and streams, and into files. Buffers are used again and again, as garbage of
 * their size is collected late: a chunk is valid until the next is asked for.
 *
 * @module
 */

type Bytes = Uint8Array<ArrayBuffer>;

/** Bytes that come in chunks of any length. */
export type ByteSource = AsyncIterable<Uint8Array<ArrayBuffer>> | Iterable<Uint8Array<ArrayBuffer>>;

/** The length of the chunks that are made here. */
export const CHUNK: number = 1 << 18;

/** Returns the bytes of a file. Between the chunks, the thread's other work has its turn. */
export async function* fileChunks(path: string, signal?: AbortSignal): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  using file = await Deno.open(path);
  const buffer = new Uint8Array(CHUNK);
  for (;;) {
    signal?.throwIfAborted();
    const n = await file.read(buffer);
    if (n === null) return;
    yield buffer.subarray(0, n);
  }
}

function isOwn(chunk: Uint8Array): chunk is Bytes {
  return chunk.buffer instanceof ArrayBuffer;
}

/** Returns the bytes of a stream. */
export async function* streamBytes(
  stream: ReadableStream<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
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

/** Gives `source` again in large chunks: each one costs who takes it the same, whatever its length. */
export async function* joined(source: ByteSource, signal?: AbortSignal): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const whole = new Uint8Array(CHUNK);
  let filled = 0;
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + whole.length - filled);
      whole.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled < whole.length) continue;
      signal?.throwIfAborted();
      yield whole;
      filled = 0;
    }
  }
  yield whole.subarray(0, filled);
}

/** Writes all of `bytes` to an open file. */
export async function writeAll(file: Deno.FsFile, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += await file.write(bytes.subarray(done));
}

/** Makes the file `path` of all that comes. */
export async function writeChunks(path: string, source: ByteSource): Promise<void> {
  using file = await Deno.open(path, { write: true, create: true, truncate: true });
  for await (const chunk of source) await writeAll(file, chunk);
}
