/**
 * A streaming reader of tar archives: v7, ustar, GNU and POSIX pax (`tar(5)`).
 * Pure: chunks are pushed in, entries come out at once, and bodies are handed on without being copied.
 *
 * @module
 */

import { ImageError } from "../errors.ts";
import { parseRecords, recordNumber, type Records, recordText, recordTime, xattrsOf } from "./pax.ts";
import { leadingMap, numbersOf, oldSparse, sparseMap, type SparseReader } from "./sparse.ts";
import { quoteName, type TarEntry, type TarType } from "./entry.ts";
import { BLOCK, headerName, isZero, malformed, number, numberOf, text, textUpToNul, verifyChecksum } from "./header.ts";

/** What a {@linkcode tarReader} calls, in the order of the archive; what it throws comes out of `push`. */
export interface TarHandler {
  /** An entry begins. */
  entry(entry: TarEntry): void;
  /** A part of its body, valid only during the call. */
  body(bytes: Uint8Array<ArrayBuffer>): void;
  /** Its body is complete; also called for entries without one. */
  end(): void;
}

/** Takes an archive apart as it comes. */
export interface TarReader {
  /** Takes the next bytes, of any length. Throws {@linkcode ImageError}. */
  push(chunk: Uint8Array<ArrayBuffer>): void;
  /** Says that there is no more. Throws {@linkcode ImageError} if the archive is not complete. */
  finish(): void;
}

type Bytes = Uint8Array<ArrayBuffer>;

const MAX_META = 1 << 20;
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

function unsupported(what: string, hint: string): ImageError {
  return new ImageError(`the tar archive holds ${what}, which is not supported`, {
    code: "archive-unsupported",
    hint,
  });
}

function within(value: number, limit: number, field: string, name: string): number {
  if (value < 0 || value > limit) {
    throw malformed(`the ${field} of ${quoteName(name)} is out of range`, { field, value, name });
  }
  return value;
}

/**
 * Starts reading an archive; `handler` hears of each entry as soon as its header is complete. Only with `mayLackEnd` it may
 * stop behind an entry without the mark of its end: that is for archives whose whole content is verified otherwise.
 */
export function tarReader(handler: TarHandler, mayLackEnd = false): TarReader {
  const partial = new Uint8Array(BLOCK);
  let filled = 0, body = 0, padding = 0, zeros = 0;
  let map: ((block: Bytes) => void) | undefined;
  let meta: { type: string; bytes: Bytes; at: number } | undefined;
  let globals: Records = new Map(), extended: Records = new Map();
  let longName: string | undefined, longTarget: string | undefined;

  function startMeta(type: string, size: number): void {
    if (size < 1 || size > MAX_META) throw malformed("an extended header has an impossible size", { size });
    meta = { type, bytes: new Uint8Array(size), at: 0 };
  }

  function endMeta(type: string, bytes: Bytes): void {
    if (type === "L") longName = textUpToNul(bytes);
    else if (type === "K") longTarget = textUpToNul(bytes);
    else if (type === "x") extended = parseRecords(bytes);
    else {
      globals = new Map([...globals, ...parseRecords(bytes)]);
      const odd = [...globals.keys()].find((key) => NEVER_GLOBAL.test(key));
      if (odd) throw malformed(`a global header sets ${odd} for every entry`);
    }
  }

  function entryOf(block: Bytes, letter: string): TarEntry {
    const records = globals.size ? new Map([...globals, ...extended]) : extended;
    const name = recordText(records, "GNU.sparse.name") ?? recordText(records, "path") ?? longName ?? headerName(block);
    const written = TYPES[letter];
    if (!written) {
      const what = UNSUPPORTED[letter] ?? `an entry of the unknown type ${JSON.stringify(letter)}`;
      throw unsupported(`${what} (${quoteName(name)})`, "Make the archive again with plain `tar -c`.");
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
      // The size of a hard link is that of its file, which is elsewhere.
      size: type === "file" ? size : 0,
      mode: number(block, "mode") & 0o7777,
      uid: within(recordNumber(records, "uid") ?? number(block, "uid"), MAX_ID, "uid", name),
      gid: within(recordNumber(records, "gid") ?? number(block, "gid"), MAX_ID, "gid", name),
      mtime: recordTime(records) ?? BigInt(number(block, "mtime")) * 1_000_000_000n,
      target: links ? recordText(records, "linkpath") ?? longTarget ?? text(block, "target") : "",
      major: device ? within(number(block, "major"), 0xfff, "major number", name) : 0,
      minor: device ? within(number(block, "minor"), 0xfffff, "minor number", name) : 0,
      xattrs: records.size ? xattrsOf(records) : none,
    };
  }

  function deliver(entry: TarEntry): void {
    body = entry.size;
    padding = -body & (BLOCK - 1);
    handler.entry(entry);
    if (!body) handler.end();
  }

  /** Hands on a sparse file once `reader` has its map; the blocks of a `leading` one are a part of the body. */
  function deliverWith(entry: TarEntry, size: number, reader: SparseReader, leading: boolean): void {
    let stored = entry.size;
    map = (block) => {
      if (leading && (stored -= BLOCK) < 0) {
        throw malformed(`the map of ${quoteName(entry.name)} is longer than its size`);
      }
      const numbers = reader.take(block);
      if (!numbers) return;
      map = undefined;
      deliver({ ...entry, size: stored, sparse: sparseMap(entry.name, size, stored, numbers) });
    };
  }

  function start(entry: TarEntry, block: Bytes, letter: string, records: Records): void {
    const { name, size, type } = entry;
    const major = recordNumber(records, "GNU.sparse.major") ?? 0,
      minor = recordNumber(records, "GNU.sparse.minor") ?? 0;
    const written = recordText(records, "GNU.sparse.map");
    const real = recordNumber(records, "GNU.sparse.realsize") ?? recordNumber(records, "GNU.sparse.size") ?? size;
    if (letter === "S") {
      const old = oldSparse(name, block, (field) => numberOf(field, "sparse map"));
      if (!old.numbers) return deliverWith(entry, old.size, old, false);
      deliver({ ...entry, sparse: sparseMap(name, old.size, size, old.numbers) });
    } else if (type !== "file" || major === 0 && written === undefined) deliver(entry);
    else if (major === 1 && minor === 0) deliverWith(entry, real, leadingMap(name), true);
    else if (major === 0 && written !== undefined) {
      deliver({ ...entry, sparse: sparseMap(name, real, size, numbersOf(name, written)) });
    } else throw unsupported(`a sparse file of version ${major}.${minor}`, "Make the archive again without --sparse.");
  }

  function header(block: Bytes): void {
    if (map) return map(block);
    if (isZero(block)) {
      zeros++;
      return;
    }
    if (zeros) throw malformed("a header follows a block of zeros");
    verifyChecksum(block);
    const letter = String.fromCharCode(block[156] ?? 0);
    if ("xgLK".includes(letter)) {
      body = number(block, "size");
      startMeta(letter, body);
      padding = -body & (BLOCK - 1);
    } else {
      const entry = entryOf(block, letter), records = extended;
      if (extended.size) extended = new Map();
      longName = longTarget = undefined;
      start(entry, block, letter, records);
    }
  }

  function take(bytes: Bytes): void {
    body -= bytes.length;
    if (!meta) {
      handler.body(bytes);
      if (!body) handler.end();
      return;
    }
    meta.bytes.set(bytes, meta.at);
    meta.at += bytes.length;
    if (body) return;
    const { type, bytes: whole } = meta;
    meta = undefined;
    endMeta(type, whole);
  }

  function push(chunk: Bytes): void {
    for (let at = 0; at < chunk.length && zeros < 2;) {
      const left = chunk.length - at;
      if (body) {
        const n = Math.min(body, left);
        take(n === chunk.length ? chunk : chunk.subarray(at, at + n));
        at += n;
      } else if (padding) {
        const n = Math.min(padding, left);
        padding -= n;
        at += n;
      } else if (!filled && left >= BLOCK) {
        header(chunk.subarray(at, at + BLOCK));
        at += BLOCK;
      } else {
        const n = Math.min(BLOCK - filled, left);
        partial.set(chunk.subarray(at, at + n), filled);
        filled = (filled + n) % BLOCK;
        at += n;
        if (!filled) header(partial);
      }
    }
  }

  function finish(): void {
    const hanging = extended.size > 0 || longName !== undefined || longTarget !== undefined;
    if (zeros && !hanging && (zeros > 1 || !filled)) return;
    if (mayLackEnd && !hanging && !filled && !body && !padding && !meta) return;
    throw new ImageError("the tar archive is truncated: it stops before its end mark", {
      code: "archive-truncated",
      hint: "Copy or download it again.",
    });
  }

  return { push, finish };
}
