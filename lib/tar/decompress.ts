/**
 * Decompression of archives and layers, in this process and by content, never by file name or by a program.
 *
 * @module
 */

import { ImageError, messageOf } from "../errors.ts";
import { type ByteSource, CHUNK } from "./chunks.ts";
import { transformed } from "./transform.ts";
import { zstdFrames } from "./zstd.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** How a stream is compressed, told by its first bytes. */
export type Compression = "none" | "gzip" | "zstd" | "xz" | "bzip2";

const LONGEST_MAGIC = 6;
const MAGIC: readonly (readonly [Compression, readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ["bzip2", [0x42, 0x5a, 0x68]],
];

/** Detects the compression of a stream by the magic number in its first six bytes. */
export function sniff(start: Uint8Array<ArrayBuffer>): Compression {
  const skippable = (start[0] ?? 0) >> 4 === 5 && start[1] === 0x2a && start[2] === 0x4d && start[3] === 0x18;
  if (skippable) return "zstd";
  return MAGIC.find(([, magic]) => magic.every((byte, i) => start[i] === byte))?.[0] ?? "none";
}

function corrupt(kind: string, cause: unknown): ImageError {
  return new ImageError(`the ${kind} stream is corrupt: ${messageOf(cause)}`, {
    code: "archive-corrupt",
    hint: "copy or download it again",
    cause,
  });
}

/** Gives `source` again, with its first chunk at least `least` bytes long if there are so many. */
async function* withStart(source: ByteSource, least: number): AsyncGenerator<Bytes> {
  let start: Bytes | undefined = new Uint8Array();
  for await (const chunk of source) {
    if (!start) yield chunk;
    else {
      const whole: Bytes = start.length ? new Uint8Array(start.length + chunk.length) : chunk;
      if (start.length) {
        whole.set(start);
        whole.set(chunk, start.length);
      }
      if (whole.length >= least) {
        start = undefined;
        yield whole;
      } else start = whole.slice();
    }
  }
  if (start) yield start;
}

async function* through(kind: "gzip" | "zstd", source: AsyncIterable<Bytes>): AsyncGenerator<Bytes> {
  const { createGunzip, createZstdDecompress } = await import("node:zlib");
  const options = { chunkSize: CHUNK };
  const transform = kind === "gzip" ? createGunzip(options) : createZstdDecompress(options);
  yield* transformed(transform, source, (error) => corrupt(kind, error));
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
    for await (const frame of zstdFrames(whole)) yield* through("zstd", frame);
  } else {
    await bytes.return(undefined);
    throw new ImageError(`unsupported compression ${kind}`, {
      code: "archive-unsupported",
      facts: { compression: kind },
      hint: "recompress it as gzip or zstd",
    });
  }
}
