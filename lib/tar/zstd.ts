/**
 * The frames of a zstd stream (RFC 8878, section 3.1). `node:zlib` reads the first frame only, takes a cut one for a whole one
 * and stops at a skippable one, so the stream is divided before it gets there.
 *
 * @module
 */

import { ImageError } from "../errors.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const MAGIC = 0xfd2fb528, SKIPPABLE = 0x184d2a5;
const DICTIONARY_SIZES = [0, 1, 2, 4], CONTENT_SIZES = [0, 2, 4, 8];
const RLE = 1, RESERVED = 3;
const BLOCK_HEADER = 3, MAX_BLOCK = 1 << 17;

function corrupt(what: string): ImageError {
  return new ImageError(`the zstd stream is corrupt: ${what}`, {
    code: "archive-corrupt",
    hint: "copy or download it again",
  });
}

function little(bytes: Bytes): number {
  return bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);
}

/**
 * Divides a zstd stream into its frames, without the skippable ones, and these into blocks: Deno 2.9 throws what is wrong
 * with a block where nobody can catch it, if the output of blocks that came along with it has filled a chunk. Each frame
 * must be read to its end before the next is asked for; a block is valid until the next. Throws {@linkcode ImageError} `archive-corrupt` if the stream is cut or goes on as something else.
 */
export async function* zstdFrames(
  source: AsyncIterable<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<AsyncGenerator<Uint8Array<ArrayBuffer>>> {
  const iterator = source[Symbol.asyncIterator]();
  let chunk: Bytes = new Uint8Array(), at = 0;

  async function more(): Promise<boolean> {
    while (at === chunk.length) {
      const next = await iterator.next();
      if (next.done) return false;
      [chunk, at] = [next.value, 0];
    }
    return true;
  }

  async function* pass(count: number): AsyncGenerator<Bytes> {
    for (let left = count; left > 0;) {
      if (!await more()) throw corrupt("it is cut");
      const piece = chunk.subarray(at, at + left);
      at += piece.length;
      left -= piece.length;
      yield piece;
    }
  }

  async function fill(target: Bytes): Promise<Bytes> {
    let filled = 0;
    for await (const piece of pass(target.length)) {
      target.set(piece, filled);
      filled += piece.length;
    }
    return target;
  }

  const bytes = (count: number): Promise<Bytes> => fill(new Uint8Array(count));
  const block = new Uint8Array(BLOCK_HEADER + MAX_BLOCK);

  async function* frame(magic: Bytes): AsyncGenerator<Bytes> {
    yield magic;
    const descriptor = await bytes(1), bits = descriptor[0] ?? 0;
    yield descriptor;
    const single = (bits >> 5) & 1;
    const content = CONTENT_SIZES[bits >> 6] || single;
    yield* pass(1 - single + (DICTIONARY_SIZES[bits & 3] ?? 0) + content);
    for (let last = 0; !last;) {
      const value = little(await fill(block.subarray(0, BLOCK_HEADER)));
      last = value & 1;
      const type = (value >> 1) & 3, size = value >> 3;
      if (type === RESERVED) throw corrupt("a block has a reserved type");
      if (size > MAX_BLOCK) throw corrupt("a block is too large");
      const end = BLOCK_HEADER + (type === RLE ? 1 : size);
      await fill(block.subarray(BLOCK_HEADER, end));
      yield block.subarray(0, end);
    }
    if (bits & 4) yield* pass(4);
  }

  try {
    while (await more()) {
      const magic = await bytes(4), value = little(magic);
      if (value === MAGIC) yield frame(magic);
      else if (Math.floor(value / 16) !== SKIPPABLE) throw corrupt("something else follows its last frame");
      else for await (const _ of pass(little(await bytes(4)))) { /* skipped */ }
    }
  } finally {
    await iterator.return?.();
  }
}
