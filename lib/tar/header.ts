/**
 * The fields of a header block of a tar archive: v7, ustar and GNU (`tar(5)`). Names that are no UTF-8 become text as
 * `ffi/fs/names.ts` has it.
 *
 * @module
 */

import { decodeName } from "../../ffi/fs/names.ts";
import { ImageError } from "../errors.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Headers and bodies begin at multiples of it. */
export const BLOCK = 512;

const SPACE = 32;
const FIELD = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  target: [157, 100],
  magic: [257, 8],
  major: [329, 8],
  minor: [337, 8],
  prefix: [345, 155],
} as const;
type Field = keyof typeof FIELD;

const POSIX = new TextEncoder().encode("ustar\0");

/** Returns the error for an archive that is against the format. */
export function malformed(what: string, facts?: Record<string, unknown>): ImageError {
  return new ImageError(`the tar archive is malformed: ${what}`, { code: "archive-malformed", facts });
}

/** Bytes up to the first NUL, as text. */
export function textUpToNul(bytes: Bytes): string {
  const end = bytes.indexOf(0);
  return decodeName(end < 0 ? bytes : bytes.subarray(0, end));
}

/** Returns a field that holds text. */
export function text(block: Bytes, field: Field): string {
  const [offset, length] = FIELD[field];
  return block[offset] === 0 ? "" : textUpToNul(block.subarray(offset, offset + length));
}

function base256(bytes: Bytes): number {
  const negative = ((bytes[0] ?? 0) & 0x40) !== 0;
  let value = 0;
  for (let i = 0; i < bytes.length; i++) {
    const byte = (negative ? ~(bytes[i] ?? 0) : bytes[i] ?? 0) & (i === 0 ? 0x7f : 0xff);
    value = value * 256 + byte;
  }
  return negative ? -value - 1 : value;
}

function octal(bytes: Bytes): number {
  let at = 0, value = 0;
  while (at < bytes.length && (bytes[at] === SPACE || bytes[at] === 0)) at++;
  for (; at < bytes.length; at++) {
    const byte = bytes[at] ?? 0;
    if (byte === SPACE || byte === 0) break;
    if (byte < 48 || byte > 55) return NaN;
    value = value * 8 + byte - 48;
  }
  return value;
}

/** Returns a number in octal or base-256; `field` says what it is. */
export function numberOf(bytes: Bytes, field: string): number {
  const value = (bytes[0] ?? 0) & 0x80 ? base256(bytes) : octal(bytes);
  if (!Number.isSafeInteger(value)) throw malformed(`the ${field} of a header is not a number`, { field });
  return value;
}

/** Returns a field that holds a number. */
export function number(block: Bytes, field: Field): number {
  const [offset, length] = FIELD[field];
  return numberOf(block.subarray(offset, offset + length), field);
}

/** Reports whether a block is all zeros, as the two at the end of an archive are. */
export function isZero(block: Bytes): boolean {
  for (let i = 0; i < BLOCK; i++) if (block[i] !== 0) return false;
  return true;
}

/** Checks that a header is one. */
export function verifyChecksum(block: Bytes): void {
  const [offset, length] = FIELD.checksum;
  let sum = SPACE * length, above = 0;
  for (let i = 0; i < BLOCK; i++) {
    if (i === offset) i += length;
    const byte = block[i] ?? 0;
    sum += byte;
    above += byte >> 7;
  }
  const written = octal(block.subarray(offset, offset + length));
  // Some old writers sum signed characters.
  if (written !== sum && written !== sum - 256 * above) {
    throw malformed("the checksum of a header is wrong", { expected: sum, found: written });
  }
}

/** Returns the name in a header, with its prefix. */
export function headerName(block: Bytes): string {
  const name = text(block, "name");
  const posix = POSIX.every((byte, i) => block[257 + i] === byte);
  const prefix = posix ? text(block, "prefix") : "";
  return prefix ? `${prefix}/${name}` : name;
}
