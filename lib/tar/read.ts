/**
 * Streaming reader of tar archives: v7, ustar, GNU and POSIX pax (`tar(5)`).
 * Pure: chunks are pushed in, entries come out at once, and bodies are passed on without being copied.
 *
 * @module
 */

import { ImageError } from "../errors.ts";
import { parseRecords, recordNumber, type Records, recordText, recordTime, xattrsOf } from "./pax.ts";
import { leadingMap, numbersOf, oldSparse, sparseMap, type SparseReader } from "./sparse.ts";
import { quoteName, type TarEntry, type TarType } from "./entry.ts";
import { BLOCK, headerName, isZero, malformed, number, numberOf, text, textUpToNul, verifyChecksum } from "./header.ts";

/** Callbacks of a {@linkcode tarReader}, in the order of the archive; an error thrown by one leaves `push`. */
export interface TarHandler {
  /** Begins an entry. */
  entry(entry: TarEntry): void;
  /** Takes a part of the entry's body, valid only during the call. */
  body(bytes: Uint8Array<ArrayBuffer>): void;
  /** Ends the entry; also called for entries without a body. */
  end(): void;
}

/** Parser of an archive that arrives in chunks. */
export interface TarReader {
  /** Parses the next bytes, of any length. Throws {@linkcode ImageError}. */
  push(chunk: Uint8Array<ArrayBuffer>): void;
  /** Ends the input. Throws {@linkcode ImageError} if the archive is incomplete. */
  finish(): void;
}

type Bytes = Uint8Array<ArrayBuffer>;

const MAX_EXTENSION = 1 << 20;
const MAX_ID = 2 ** 32 - 2;
const NEVER_GLOBAL = /^(path|linkpath|size|GNU\.sparse\..*)$/;

const TYPES: Readonly<Record<string, TarType>> = {
  "\0": "file",
  "0": "file",
  "1": "link",
  "2": "symlink",
  "3": "character",
  "4": "block",
  "5": "directory",
  "6": "fifo",
  "7": "file",
  S: "file",
};
const UNSUPPORTED: Readonly<Record<string, string>> = {
  M: "a part of a multi-volume archive",
  V: "a volume label",
  D: "an incremental dump",
  X: "a Solaris extended header",
};

const none: ReadonlyMap<string, Bytes> = new Map();

/** Extended headers that apply to the next entry: pax records, GNU long names. */
interface Extensions {
  records: Records;
  longName?: string;
  longTarget?: string;
}

/**
 * State of a reader. `state` names the next bytes: a header block, a block of a sparse map, the body of an entry or of an
 * extended header, the padding after either, or nothing more.
 */
interface Reading {
  readonly handler: TarHandler;
  state: "header" | "map" | "body" | "extension" | "padding" | "end";
  /** Bytes left of a body, an extended header or padding. */
  left: number;
  /** Length of the padding after the body. */
  padding: number;
  /** Number of zero blocks; two end the archive. */
  zeros: number;
  /** Block that is spread over several chunks, and the number of its bytes so far. */
  readonly partial: Bytes;
  filled: number;
  globals: Records;
  extensions: Extensions;
  extension: { type: string; bytes: Bytes };
  readMap: (block: Bytes) => void;
}

function unsupported(what: string, hint: string): ImageError {
  return new ImageError(`unsupported tar archive: it holds ${what}`, { code: "archive-unsupported", hint });
}

function within(value: number, limit: number, field: string, name: string): number {
  if (value < 0 || value > limit) {
    throw malformed(`the ${field} of ${quoteName(name)} is out of range`, { field, value, name });
  }
  return value;
}

function parseEntry(block: Bytes, letter: string, { globals, extensions }: Reading): TarEntry {
  const records = globals.size ? new Map([...globals, ...extensions.records]) : extensions.records;
  const name = recordText(records, "GNU.sparse.name") ?? recordText(records, "path") ?? extensions.longName ??
    headerName(block);
  const written = TYPES[letter];
  if (!written) {
    const what = UNSUPPORTED[letter] ?? `an entry of the unknown type ${JSON.stringify(letter)}`;
    throw unsupported(`${what} (${quoteName(name)})`, "create the archive again with plain `tar -c`");
  }
  if (name === "") throw malformed("an entry has no name");
  // v7 had no type for directories.
  const type = written === "file" && name.endsWith("/") ? "directory" : written;
  const size = recordNumber(records, "size") ?? number(block, "size");
  if (size < 0) throw malformed(`the size of ${quoteName(name)} is negative`, { name, size });
  if (size && type !== "file" && type !== "link") {
    throw malformed(`${quoteName(name)} is a ${type}, yet it has a size`);
  }
  const device = type === "character" || type === "block";
  const links = type === "link" || type === "symlink";
  return {
    name,
    type,
    // The size of a hard link is that of its file, whose body is elsewhere.
    size: type === "file" ? size : 0,
    mode: number(block, "mode") & 0o7777,
    uid: within(recordNumber(records, "uid") ?? number(block, "uid"), MAX_ID, "uid", name),
    gid: within(recordNumber(records, "gid") ?? number(block, "gid"), MAX_ID, "gid", name),
    mtime: recordTime(records) ?? BigInt(number(block, "mtime")) * 1_000_000_000n,
    target: links ? recordText(records, "linkpath") ?? extensions.longTarget ?? text(block, "target") : "",
    major: device ? within(number(block, "major"), 0xfff, "major number", name) : 0,
    minor: device ? within(number(block, "minor"), 0xfffff, "minor number", name) : 0,
    xattrs: records.size ? xattrsOf(records) : none,
  };
}

function beginBody(to: Reading, state: "body" | "extension", size: number): void {
  to.left = size;
  to.padding = -size & (BLOCK - 1);
  to.state = size ? state : "header";
}

function endBody(to: Reading): void {
  to.left = to.padding;
  to.state = to.padding ? "padding" : "header";
}

function beginExtension(to: Reading, type: string, size: number): void {
  if (size < 1 || size > MAX_EXTENSION) throw malformed("an extended header has an impossible size", { size });
  to.extension = { type, bytes: new Uint8Array(size) };
  beginBody(to, "extension", size);
}

function endExtension(to: Reading, { type, bytes }: Reading["extension"]): void {
  if (type === "L") to.extensions.longName = textUpToNul(bytes);
  else if (type === "K") to.extensions.longTarget = textUpToNul(bytes);
  else if (type === "x") to.extensions.records = parseRecords(bytes);
  else {
    to.globals = new Map([...to.globals, ...parseRecords(bytes)]);
    const odd = [...to.globals.keys()].find((key) => NEVER_GLOBAL.test(key));
    if (odd) throw malformed(`a global header sets ${odd} for every entry`);
  }
}

function deliver(to: Reading, entry: TarEntry): void {
  beginBody(to, "body", entry.size);
  to.handler.entry(entry);
  if (!entry.size) to.handler.end();
}

/** Delivers a sparse file once `reader` has its map; the blocks of a `leading` map are counted in the body's size. */
function deliverMapped(to: Reading, entry: TarEntry, size: number, reader: SparseReader, leading: boolean): void {
  let stored = entry.size;
  to.state = "map";
  to.readMap = (block) => {
    if (leading && (stored -= BLOCK) < 0) {
      throw malformed(`the map of ${quoteName(entry.name)} is longer than its size`);
    }
    const numbers = reader.take(block);
    if (numbers) deliver(to, { ...entry, size: stored, sparse: sparseMap(entry.name, size, stored, numbers) });
  };
}

function beginEntry(to: Reading, entry: TarEntry, block: Bytes, letter: string, records: Records): void {
  const { name, size, type } = entry;
  const major = recordNumber(records, "GNU.sparse.major") ?? 0, minor = recordNumber(records, "GNU.sparse.minor") ?? 0;
  const written = recordText(records, "GNU.sparse.map");
  const real = recordNumber(records, "GNU.sparse.realsize") ?? recordNumber(records, "GNU.sparse.size") ?? size;
  if (letter === "S") {
    const old = oldSparse(name, block, (field) => numberOf(field, "sparse map"));
    if (!old.numbers) return deliverMapped(to, entry, old.size, old, false);
    deliver(to, { ...entry, sparse: sparseMap(name, old.size, size, old.numbers) });
  } else if (type !== "file" || major === 0 && written === undefined) deliver(to, entry);
  else if (major === 1 && minor === 0) deliverMapped(to, entry, real, leadingMap(name), true);
  else if (major === 0 && written !== undefined) {
    deliver(to, { ...entry, sparse: sparseMap(name, real, size, numbersOf(name, written)) });
  } else throw unsupported(`a sparse file of version ${major}.${minor}`, "create the archive again without --sparse");
}

function readHeader(to: Reading, block: Bytes): void {
  if (isZero(block)) {
    if (++to.zeros === 2) to.state = "end";
    return;
  }
  if (to.zeros) throw malformed("a header follows a block of zeros");
  verifyChecksum(block);
  const letter = String.fromCharCode(block[156] ?? 0);
  if ("xgLK".includes(letter)) return beginExtension(to, letter, number(block, "size"));
  const entry = parseEntry(block, letter, to), { records } = to.extensions;
  to.extensions = { records: records.size ? new Map() : records };
  beginEntry(to, entry, block, letter, records);
}

function readBody(to: Reading, bytes: Bytes): void {
  to.left -= bytes.length;
  to.handler.body(bytes);
  if (to.left) return;
  endBody(to);
  to.handler.end();
}

function readExtension(to: Reading, bytes: Bytes): void {
  const { extension } = to;
  extension.bytes.set(bytes, extension.bytes.length - to.left);
  to.left -= bytes.length;
  if (to.left) return;
  endBody(to);
  endExtension(to, extension);
}

function skipPadding(to: Reading, bytes: Bytes): void {
  to.left -= bytes.length;
  if (!to.left) to.state = "header";
}

/** Reads a header or map from the bytes of `chunk` from `at` on; returns the number of bytes taken. */
function readBlock(to: Reading, chunk: Bytes, at: number): number {
  const read = (block: Bytes): void => to.state === "map" ? to.readMap(block) : readHeader(to, block);
  if (!to.filled && chunk.length - at >= BLOCK) {
    read(chunk.subarray(at, at + BLOCK));
    return BLOCK;
  }
  const part = chunk.subarray(at, at + BLOCK - to.filled);
  to.partial.set(part, to.filled);
  to.filled = (to.filled + part.length) % BLOCK;
  if (!to.filled) read(to.partial);
  return part.length;
}

const READ = { body: readBody, extension: readExtension, padding: skipPadding } as const;

function push(to: Reading, chunk: Bytes): void {
  for (let at = 0; at < chunk.length && to.state !== "end";) {
    if (to.state === "header" || to.state === "map") at += readBlock(to, chunk, at);
    else {
      const n = Math.min(to.left, chunk.length - at);
      READ[to.state](to, n === chunk.length ? chunk : chunk.subarray(at, at + n));
      at += n;
    }
  }
}

function finish({ state, zeros, filled, extensions }: Reading, mayLackEnd: boolean): void {
  const { records, longName, longTarget } = extensions;
  const pending = records.size > 0 || longName !== undefined || longTarget !== undefined;
  const atBoundary = state === "end" || state === "header" && !filled && (zeros > 0 || mayLackEnd);
  if (atBoundary && !pending) return;
  throw new ImageError("the tar archive is truncated: it stops before its end mark", {
    code: "archive-truncated",
    hint: "copy or download it again",
  });
}

/**
 * Starts reading an archive; `handler` receives each entry as soon as its header is complete. With `mayLackEnd` the archive
 * may stop after an entry without an end mark: for archives whose whole content is verified otherwise.
 */
export function tarReader(handler: TarHandler, mayLackEnd = false): TarReader {
  const reading: Reading = {
    handler,
    state: "header",
    left: 0,
    padding: 0,
    zeros: 0,
    partial: new Uint8Array(BLOCK),
    filled: 0,
    globals: new Map(),
    extensions: { records: new Map() },
    extension: { type: "", bytes: new Uint8Array() },
    readMap: () => {},
  };
  return { push: (chunk) => push(reading, chunk), finish: () => finish(reading, mayLackEnd) };
}
