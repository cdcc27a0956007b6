/**
 * The headers of tar archives as OCI layers have them: POSIX ustar, with an extended header where that is too narrow.
 *
 * @module
 */

import { encodeName } from "../../ffi/fs/names.ts";
import type { SparseMap } from "./sparse.ts";
import type { TarEntry, TarType } from "./entry.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const BLOCK = 512, NAME = 100, SECOND = 1_000_000_000n;
// Shown by readers without support for sparse files; the name is in a record.
const SPARSE_NAME = encodeName("GNUSparseFile.0/entry");
const LETTERS: Readonly<Record<TarType, string>> = {
  file: "0",
  link: "1",
  symlink: "2",
  character: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};

/** End mark of an archive: two zero blocks. */
export const TAR_END: Uint8Array<ArrayBuffer> = new Uint8Array(2 * BLOCK);

/** Returns the bytes that fill up a body of `size` bytes. */
export function tarPadding(size: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(-size & (BLOCK - 1));
}

function concat(...parts: Bytes[]): Bytes {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Returns the length of a record whose other bytes are `size`: its own digits are a part of it. */
function recordLength(size: number): number {
  let length = size + 1;
  while (String(length).length + size !== length) length = String(length).length + size;
  return length;
}

function textRecord(key: string, value: number | string): string {
  const rest = ` ${key}=${value}\n`;
  return `${recordLength(rest.length)}${rest}`;
}

function record(key: string, value: Bytes): Bytes {
  const rest = concat(encodeName(` ${key}=`), value, encodeName("\n"));
  return concat(encodeName(String(recordLength(rest.length))), rest);
}

/** Formats an octal field of `width` bytes; undefined if the value does not fit. */
function octal(value: number, width: number): string | undefined {
  const digits = value < 0 ? "" : value.toString(8).padStart(width - 1, "0");
  return digits.length === width - 1 ? digits : undefined;
}

function isAscii(name: Bytes): boolean {
  for (let i = 0; i < name.length; i++) if ((name[i] ?? 0) > 127) return false;
  return true;
}

function isPlain(name: Bytes): boolean {
  return name.length <= NAME && isAscii(name);
}

function seconds(time: bigint): number {
  return Number((time - ((time % SECOND) + SECOND) % SECOND) / SECOND);
}

function decimalTime(time: bigint): string {
  const size = time < 0n ? -time : time;
  return `${time < 0n ? "-" : ""}${size / SECOND}.${String(size % SECOND).padStart(9, "0")}`.replace(/\.?0+$/, "");
}

/** Writes ASCII text; calling the encoder for so little costs more. */
function put(header: Bytes, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) header[at + i] = text.charCodeAt(i);
}

function block(entry: TarEntry, letter: string, name: Bytes, target: Bytes): Bytes {
  const header = new Uint8Array(BLOCK);
  const number = (at: number, width: number, value: number): void =>
    put(header, at, octal(value, width) ?? "0".repeat(width - 1));
  header.set(name.subarray(0, NAME));
  number(100, 8, entry.mode);
  number(108, 8, entry.uid);
  number(116, 8, entry.gid);
  number(124, 12, entry.size);
  number(136, 12, seconds(entry.mtime));
  put(header, 148, "        ");
  put(header, 156, letter);
  header.set(target.subarray(0, NAME), 157);
  put(header, 257, "ustar\x0000");
  number(329, 8, entry.major);
  number(337, 8, entry.minor);
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += header[i] ?? 0;
  put(header, 148, `${octal(sum, 7)}\0`);
  return header;
}

/** Records of ASCII text, which are encoded together: calling the encoder costs more than they do. */
function textRecords({ size, uid, gid, mtime, sparse }: TarEntry): string {
  return [
    octal(size, 12) === undefined ? textRecord("size", size) : "",
    octal(uid, 8) === undefined ? textRecord("uid", uid) : "",
    octal(gid, 8) === undefined ? textRecord("gid", gid) : "",
    mtime % SECOND || octal(seconds(mtime), 12) === undefined ? textRecord("mtime", decimalTime(mtime)) : "",
    sparse ? textRecord("GNU.sparse.major", 1) + textRecord("GNU.sparse.minor", 0) : "",
    sparse ? textRecord("GNU.sparse.realsize", sparse.size) : "",
  ].join("");
}

function extendedRecords(entry: TarEntry, name: Bytes, target: Bytes): Bytes[] {
  const records: Bytes[] = [], text = textRecords(entry);
  if (!isPlain(name)) records.push(record("path", name));
  if (!isPlain(target)) records.push(record("linkpath", target));
  if (text) records.push(encodeName(text));
  if (entry.sparse) records.push(record("GNU.sparse.name", name));
  for (const [key, value] of [...entry.xattrs].sort(([a], [b]) => a < b ? -1 : 1)) {
    records.push(record(`SCHILY.xattr.${key}`, value));
  }
  return records;
}

/** Returns the block, or more, in front of the data of a file with holes, in GNU's format 1.0: where the pieces belong. */
export function sparseMapBlock({ size, pieces }: SparseMap): Uint8Array<ArrayBuffer> {
  const [offset, length] = pieces.at(-1) ?? [0, 0];
  // A hole at the end is told by an empty piece behind it.
  const all = offset + length < size ? [...pieces, [size, 0]] : pieces;
  const map = encodeName([all.length, ...all.flat()].map((number) => `${number}\n`).join(""));
  return concat(map, tarPadding(map.length));
}

/**
 * Returns all that stands before the body of `entry`. A directory's name ends with a slash. The body of a file with `sparse`
 * begins with its {@linkcode sparseMapBlock}, which its `size` does not count.
 */
export function tarHeader(entry: TarEntry): Uint8Array<ArrayBuffer> {
  const { sparse } = entry, name = encodeName(entry.name), target = encodeName(entry.target);
  const stored = sparse ? { ...entry, size: entry.size + sparseMapBlock(sparse).length } : entry;
  const records = concat(...extendedRecords(stored, name, target));
  const header = block(stored, LETTERS[entry.type], sparse ? SPARSE_NAME : name, target);
  if (records.length === 0) return header;
  const about = { ...entry, mode: 0o644, uid: 0, gid: 0, mtime: 0n, size: records.length, major: 0, minor: 0 };
  const extended = block(about, "x", encodeName("PaxHeaders.0/entry"), new Uint8Array());
  return concat(extended, records, tarPadding(records.length), header);
}
