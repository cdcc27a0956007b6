/**
 * Decompression of archives and layers, in this process and by content, never by file name or by a program.
 *
 * @module
 */

import { ImageError, messageOf } from "../errors.ts";
import { zstdFrames } from "./zstd.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Bytes that come in chunks of any length. */
export type ByteSource = AsyncIterable<Uint8Array<ArrayBuffer>> | Iterable<Uint8Array<ArrayBuffer>>;

/** How a stream is compressed, told by its first bytes. */
export type Compression = "none" | "gzip" | "zstd" | "xz" | "bzip2";

const LONGEST_MAGIC = 6;
const READ_CHUNK = 1 << 18, OUTPUT_CHUNK = 1 << 20;
const MAGIC: readonly (readonly [Compression, readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ["bzip2", [0x42, 0x5a, 0x68]],
];

/** The bytes of a file. Between the chunks, the thread's other work has its turn. */
export async function* fileChunks(path: string, signal?: AbortSignal): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  using file = await Deno.open(path);
  for (;;) {
    signal?.throwIfAborted();
    const buffer = new Uint8Array(READ_CHUNK);
    const n = await file.read(buffer);
    if (n === null) return;
    yield buffer.subarray(0, n);
  }
}

/** Tells the compression of a stream from its first six bytes. */
export function sniff(start: Uint8Array<ArrayBuffer>): Compression {
  const skippable = (start[0] ?? 0) >> 4 === 5 && start[1] === 0x2a && start[2] === 0x4d && start[3] === 0x18;
  if (skippable) return "zstd";
  return MAGIC.find(([, magic]) => magic.every((byte, i) => start[i] === byte))?.[0] ?? "none";
}

function corrupt(kind: string, cause: unknown): ImageError {
  return new ImageError(`the ${kind} stream is corrupt: ${messageOf(cause)}`, {
    code: "archive-corrupt",
    hint: "Copy or download it again.",
    cause,
  });
}

/** Gives `source` again, with its first chunk at least `least` bytes long if there are so many. */
async function* withStart(source: ByteSource, least: number): AsyncGenerator<Bytes> {
  let start: Bytes | undefined = new Uint8Array();
  for await (const chunk of source) {
    if (!start) yield chunk;
    else {
      const joined: Bytes = start.length ? new Uint8Array(start.length + chunk.length) : chunk;
      if (start.length) {
        joined.set(start);
        joined.set(chunk, start.length);
      }
      if (joined.length >= least) {
        start = undefined;
        yield joined;
      } else start = joined;
    }
  }
  if (start) yield start;
}

/** Gives `source` again in large chunks: each one costs the decompressor the same, whatever its length. */
async function* joined(source: AsyncIterable<Bytes>): AsyncGenerator<Bytes> {
  let whole = new Uint8Array(READ_CHUNK), filled = 0;
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + whole.length - filled);
      whole.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled < whole.length) continue;
      yield whole;
      [whole, filled] = [new Uint8Array(READ_CHUNK), 0];
    }
  }
  yield whole.subarray(0, filled);
}

async function* through(kind: "gzip" | "zstd", source: AsyncIterable<Bytes>): AsyncGenerator<Bytes> {
  const { createGunzip, createZstdDecompress } = await import("node:zlib");
  const { Readable } = await import("node:stream");
  const options = { chunkSize: OUTPUT_CHUNK };
  const transform = kind === "gzip" ? createGunzip(options) : createZstdDecompress(options);
  const input = Readable.from(source, { objectMode: true, highWaterMark: 1 });
  let sourceError: unknown;
  input.on("error", (error) => transform.destroy(sourceError = error));
  input.pipe(transform);
  try {
    for await (const chunk of transform) yield new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
  } catch (error) {
    throw sourceError ?? corrupt(kind, error);
  } finally {
    input.destroy();
    transform.destroy();
  }
}

/**
 * Decompresses gzip (of any number of members) and zstd (of any number of frames), and hands on what is neither.
 * Throws {@linkcode ImageError} `archive-corrupt` if the stream is damaged, cut or followed by anything but zeros
 * (gzip) or anything at all (zstd), and `archive-unsupported` if it is xz or bzip2.
 */
export async function* decompress(source: ByteSource): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const bytes = withStart(source, LONGEST_MAGIC);
  const first = await bytes.next();
  if (first.done) return;
  const kind = sniff(first.value);
  const whole = (async function* () {
    try {
      yield first.value;
      yield* bytes;
    } finally {
      await bytes.return(undefined);
    }
  })();
  if (kind === "none") yield* whole;
  else if (kind === "gzip") yield* through("gzip", whole);
  else if (kind === "zstd") {
    for await (const frame of zstdFrames(whole)) yield* through("zstd", joined(frame));
  } else {
    await bytes.return(undefined);
    throw new ImageError(`the archive is compressed with ${kind}, which is not supported`, {
      code: "archive-unsupported",
      facts: { compression: kind },
      hint: "Recompress it as gzip or zstd.",
    });
  }
}
