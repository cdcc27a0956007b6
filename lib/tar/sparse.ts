/**
 * Sparse files in tar archives: GNU's old format and its three in pax headers (GNU tar manual, "Storing Sparse Files").
 *
 * @module
 */

import { ImageError, messageOf } from "../errors.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Piece = readonly [offset: number, length: number];

/** Data extents of a sparse file; the rest is holes. */
export interface SparseMap {
  /** The file's size. */
  size: number;
  /** Extents of the bytes in the archive, in order. */
  pieces: readonly Piece[];
}

/** A map that is still being read, block by block. */
export interface SparseReader {
  /** Takes a block of 512 bytes; returns the map once it is complete. */
  take(block: Bytes): number[] | undefined;
}

const BLOCK = 512, PIECE = 24, FIELD = 12, IN_HEADER = 4, IN_EXTENSION = 21;
const MAP_AT = 386, MORE_AT = 482, SIZE_AT = 483, EXTENSION_MORE_AT = 504;
const MAX_NUMBERS = 1 << 18, MAX_DIGITS = 15;
const NEWLINE = 10;

function bad(name: string, what: string): ImageError {
  return new ImageError(`the tar archive is malformed: the map of the sparse file ${JSON.stringify(name)} ${what}`, {
    code: "archive-malformed",
    facts: { name },
  });
}

/** Makes a map of `numbers`, offsets and lengths by turns, for `stored` bytes of the archive. */
export function sparseMap(name: string, size: number, stored: number, numbers: readonly number[]): SparseMap {
  const pieces: Piece[] = [];
  let end = 0, sum = 0;
  if (size < 0) throw bad(name, "tells a negative size");
  if (numbers.length % 2) throw bad(name, "ends in the middle");
  for (let i = 0; i < numbers.length; i += 2) {
    const offset = numbers[i] ?? NaN, length = numbers[i + 1] ?? NaN;
    if (!(offset >= end && length >= 0 && offset + length <= size)) throw bad(name, "is out of order or range");
    end = offset + length;
    sum += length;
    if (length) pieces.push([offset, length]);
  }
  if (sum !== stored) throw bad(name, "is of another length than its data");
  return { size, pieces };
}

/** Returns the numbers of a `GNU.sparse.map`, separated by commas. */
export function numbersOf(name: string, text: string): number[] {
  if (text === "") return [];
  return text.split(",").map((digits) => {
    if (!/^\d{1,15}$/.test(digits)) throw bad(name, "holds an invalid number");
    return Number(digits);
  });
}

function takePieces(
  block: Bytes,
  at: number,
  count: number,
  numbers: number[],
  number: (field: Bytes) => number,
): void {
  for (let i = 0; i < count; i++) {
    const piece = block.subarray(at + i * PIECE, at + (i + 1) * PIECE);
    if (piece[0] === 0) return;
    numbers.push(number(piece.subarray(0, FIELD)), number(piece.subarray(FIELD)));
  }
}

/** Reads the map of GNU's old format; `number` reads a field. The file's size is in the header alone. */
export function oldSparse(name: string, header: Bytes, number: (field: Bytes) => number) {
  const numbers: number[] = [];
  takePieces(header, MAP_AT, IN_HEADER, numbers, number);
  return {
    size: number(header.subarray(SIZE_AT, SIZE_AT + FIELD)),
    /** The whole map, if the header holds it. */
    numbers: header[MORE_AT] ? undefined : numbers,
    take(block: Bytes): number[] | undefined {
      takePieces(block, 0, IN_EXTENSION, numbers, number);
      if (numbers.length > MAX_NUMBERS) throw bad(name, "is too long");
      return block[EXTENSION_MORE_AT] ? undefined : numbers;
    },
  };
}

/** Reads the map of the pax format 1.0, which is in front of the data: how many pieces, and their numbers, a line each. */
export function leadingMap(name: string): SparseReader {
  const numbers: number[] = [];
  let digits = 0, value = 0;
  return {
    take(block) {
      for (let i = 0; i < BLOCK; i++) {
        const byte = block[i] ?? 0;
        if (byte === NEWLINE && digits) {
          numbers.push(value);
          digits = value = 0;
          if (numbers.length === 1 + 2 * (numbers[0] ?? 0)) return numbers.slice(1);
          continue;
        }
        if (byte < 48 || byte > 57 || ++digits > MAX_DIGITS) throw bad(name, "holds an invalid number");
        value = value * 10 + byte - 48;
      }
      if (numbers.length > MAX_NUMBERS || (numbers[0] ?? 0) > MAX_NUMBERS / 2) throw bad(name, "is too long");
    },
  };
}

/** Writes the bytes of a sparse file, as they come, to where they belong in the empty file open at `fd`. */
export function sparseWriter(fd: number, { size, pieces }: SparseMap): (bytes: Bytes) => void {
  let piece = 0, done = 0;
  const guarded = (use: (file: Deno.FsFile) => void): void => {
    try {
      // Deno's own calls: the shim's have 32 bits for an offset.
      using file = Deno.openSync(`/proc/self/fd/${fd}`, { write: true });
      use(file);
    } catch (error) {
      throw new ImageError(`cannot write a sparse file: ${messageOf(error)}`, {
        code: "unpack-failed",
        cause: error,
      });
    }
  };
  guarded((file) => file.truncateSync(size));
  return (bytes) =>
    guarded((file) => {
      for (let at = 0; at < bytes.length;) {
        const [offset, length] = pieces[piece] ?? [0, 0];
        const part = bytes.subarray(at, at + length - done);
        file.seekSync(offset + done, Deno.SeekMode.Start);
        for (let written = 0; written < part.length;) written += file.writeSync(part.subarray(written));
        at += part.length;
        done += part.length;
        if (done === length) [piece, done] = [piece + 1, 0];
      }
    });
}
