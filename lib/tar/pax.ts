/**
 * The records of extended headers of tar archives (POSIX.1-2024 `pax`).
 *
 * @module
 */

import { decodeName } from "../../ffi/fs/names.ts";
import { malformed } from "./header.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Records of extended headers, by key. */
export type Records = Map<string, Bytes>;

const XATTR = "SCHILY.xattr.";
const SPACE = 32, NEWLINE = 10, EQUALS = 61;

/** Returns the records of one extended header. */
export function parseRecords(bytes: Bytes): Records {
  const records: Records = new Map(), pieces: Bytes[] = [];
  for (let at = 0; at < bytes.length;) {
    let length = 0, digits = at;
    for (; digits < bytes.length && digits < at + 8 && bytes[digits] !== SPACE; digits++) {
      const digit = (bytes[digits] ?? 0) - 48;
      length = digit >= 0 && digit <= 9 ? length * 10 + digit : NaN;
    }
    const end = at + length, equals = bytes.indexOf(EQUALS, digits);
    const whole = digits > at && bytes[digits] === SPACE && end <= bytes.length && bytes[end - 1] === NEWLINE;
    if (!whole || equals <= digits + 1 || equals >= end) throw malformed("an extended header has a bad record");
    const key = decodeName(bytes.subarray(digits + 1, equals)), value = bytes.subarray(equals + 1, end - 1);
    if (key.includes("\0")) throw malformed("an extended header has a key that holds a NUL");
    if (key === (pieces.length % 2 ? "GNU.sparse.numbytes" : "GNU.sparse.offset")) pieces.push(value);
    else records.set(key, value);
    at = end;
  }
  // The oldest format repeats two keys instead of writing a map.
  if (pieces.length) records.set("GNU.sparse.map", new TextEncoder().encode(pieces.map(decodeName).join(",")));
  return records;
}

/** Returns a record that holds text; undefined if there is none. */
export function recordText(records: Records, key: string): string | undefined {
  const value = records.get(key);
  // An empty value takes back what was said before.
  if (!value?.length) return undefined;
  if (value.includes(0)) throw malformed(`the ${key} of an extended header holds a NUL`, { key });
  return decodeName(value);
}

/** Returns a record that holds a number; undefined if there is none. */
export function recordNumber(records: Records, key: string): number | undefined {
  const value = recordText(records, key);
  if (value === undefined) return undefined;
  if (!/^\d{1,15}$/.test(value)) throw malformed(`the ${key} of an extended header is not a number`, { key, value });
  return Number(value);
}

/** Returns the time of the last modification, in nanoseconds since the epoch; undefined if there is none. */
export function recordTime(records: Records): bigint | undefined {
  const value = recordText(records, "mtime");
  if (value === undefined) return undefined;
  const [, sign, seconds = "", fraction = ""] = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(value) ?? [];
  if (!seconds) throw malformed("the mtime of an extended header is not a time", { value });
  const time = BigInt(seconds) * 1_000_000_000n + BigInt(fraction.slice(0, 9).padEnd(9, "0"));
  return sign ? -time : time;
}

/** Returns the extended attributes by name. */
export function xattrsOf(records: Records): ReadonlyMap<string, Bytes> {
  const found = [...records].filter(([key]) => key.startsWith(XATTR));
  return new Map(found.map(([key, value]) => [key.slice(XATTR.length), value]));
}
