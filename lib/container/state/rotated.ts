/**
 * Rotated files of lines, read as one: NAME is appended to, NAME.1 is the newest rotated one, and so on. Read without a
 * lock: an open file stays readable after it is renamed, and its successor is found by inode.
 *
 * @module
 */

import { S_IF } from "../../../ffi/fs/fs.ts";
import { ownershipOf } from "../../../ffi/fs/paths.ts";
import { watchFolders } from "../../../ffi/fs/watch.ts";

/** One of the files, opened. */
export interface Part {
  /** The file, at the position where reading continues. */
  readonly file: Deno.FsFile;
  /** Its inode number. */
  readonly inode: number;
  /** Its size in bytes when it was opened. */
  readonly size: number;
  /** Its number in the rotation then: 0 for NAME, 1 for NAME.1. */
  readonly index: number;
}

/** Options for following the files. */
export interface Following {
  /** Returns whether more may be written. After false, the rest is read to its end. Default: do not follow. */
  readonly more?: () => boolean;
  /** Stops following when aborted. */
  readonly signal?: AbortSignal;
  /** Other directories to watch for changes that `more` depends on. */
  readonly beside?: readonly string[];
  /** Called when the file being read was removed, and possibly unread files after it. */
  readonly onLoss?: () => void;
}

const NEWLINE = 10;
const CHUNK = 1 << 18, BLOCK = 1 << 16;
const WATCH_MS = 1000;
// During a rotation one number is missing.
const GAP = 2;
const MAX_TRIES = 100;

function openPart(path: string, index: number): Part | undefined {
  // Anything but a regular file is skipped: opening a FIFO could block.
  if (((ownershipOf(path, true)?.mode ?? 0) & S_IF.MT) !== S_IF.REG) return undefined;
  try {
    const file = Deno.openSync(path);
    const { ino, size } = file.statSync();
    return { file, inode: ino ?? -1, size, index };
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function closeAll(parts: readonly Part[]): void {
  for (const { file } of parts) file.close();
}

function inodeOf(path: string): number | null | undefined {
  try {
    return Deno.lstatSync(path).ino;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Opens the existing files, newest first. A file that is renamed meanwhile may be met twice, but is not missed. */
function openNow(path: string): Part[] {
  const parts = new Map<number, Part>();
  for (let index = 0, missing = 0; missing < GAP; index++) {
    const part = openPart(index === 0 ? path : `${path}.${index}`, index);
    missing = part ? 0 : missing + 1;
    if (!part) continue;
    parts.get(part.inode)?.file.close();
    parts.set(part.inode, part);
  }
  return [...parts.values()];
}

/** Opens all files, oldest first. */
export function openParts(path: string): Part[] {
  for (let tries = 1;; tries++) {
    const parts = openNow(path);
    const newest = parts.find(({ index }) => index === 0);
    // Otherwise the files were rotated meanwhile, and the order may be wrong.
    if (inodeOf(path) === newest?.inode || tries === MAX_TRIES) return parts.reverse();
    closeAll(parts);
  }
}

function readFully(file: Deno.FsFile, offset: number, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  let filled = 0;
  file.seekSync(offset, Deno.SeekMode.Start);
  for (let n; (n = file.readSync(bytes.subarray(filled))) !== null && n > 0;) filled += n;
  return bytes.subarray(0, filled);
}

/** Yields the lines of a file from the last to the first, with their newlines, and the offset of their end. */
function* linesBackward({ file, size }: Part): Generator<{ line: Uint8Array<ArrayBuffer>; end: number }> {
  let rest = new Uint8Array();
  for (let end = size; end > 0;) {
    const start = Math.max(0, end - BLOCK);
    const block = new Uint8Array(end - start + rest.length);
    readFully(file, start, block.subarray(0, end - start));
    block.set(rest, end - start);
    let stop = block.length;
    while (stop > 1) {
      const begin = block.lastIndexOf(NEWLINE, stop - 2) + 1;
      if (begin === 0) break;
      yield { line: block.subarray(begin, stop), end: start + stop };
      stop = begin;
    }
    rest = block.slice(0, stop);
    end = start;
  }
  if (rest.length > 0) yield { line: rest, end: rest.length };
}

/**
 * Positions the files behind the last line for which `isBefore` returns true, called from the last line on; at the
 * beginning if there is none. A last line without a newline is being written.
 */
export function startBehind(parts: Part[], isBefore: (line: Uint8Array<ArrayBuffer>) => boolean): void {
  for (let i = parts.length - 1; i >= 0; i--) {
    const part = parts[i];
    if (!part) continue;
    for (const { line, end } of linesBackward(part)) {
      if (!isBefore(line)) continue;
      part.file.seekSync(end, Deno.SeekMode.Start);
      closeAll(parts.splice(0, i));
      return;
    }
    part.file.seekSync(0, Deno.SeekMode.Start);
  }
}

/** Opens the files that were begun after `part`. */
function partsAfter(path: string, part: Part | undefined, onLoss: () => void): Part[] {
  if (part && inodeOf(path) === part.inode) return [];
  const parts = openParts(path);
  const at = parts.findIndex(({ inode }) => inode === part?.inode);
  const lost = part !== undefined && at < 0;
  // Without NAME the next file is about to be created, or all are being removed: the rest may be older than `part`.
  const after = lost && parts.at(-1)?.index !== 0 ? [] : parts.splice(at + 1);
  closeAll(parts);
  if (lost && after.length > 0) onLoss();
  return after;
}

function grown(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const twice = new Uint8Array(bytes.length * 2);
  twice.set(bytes);
  return twice;
}

/**
 * Reads `parts` of the file `path` and, when following, their successors. Yields whole lines, many at a time, in a buffer
 * that the caller may change and that is reused. Only the last line of a file can lack its newline, when nothing more will
 * be appended to it. Closes the parts at the end.
 */
export async function* readParts(
  path: string,
  parts: readonly Part[],
  { more, signal, beside = [], onLoss = () => {} }: Following = {},
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const folder = path.slice(0, path.lastIndexOf("/"));
  const watch = more && watchFolders([folder, ...beside]);
  const [...queue] = parts;
  let buffer = new Uint8Array(CHUNK), held = 0;
  let part = queue.shift();
  if (watch) signal?.addEventListener("abort", watch.wake);
  try {
    for (;;) {
      // In this order: if there is a next file, or nothing more will be written, the end of this one is final.
      const mayCome = more !== undefined && !signal?.aborted && more();
      if (more && queue.length === 0) queue.push(...partsAfter(path, part, onLoss));
      let left = more || !part ? Infinity : part.size - part.file.seekSync(0, Deno.SeekMode.Current);
      while (part && left > 0) {
        const n = await part.file.read(buffer.subarray(held, held + Math.min(left, buffer.length - held)));
        if (!n) break;
        left -= n;
        held += n;
        const end = buffer.subarray(0, held).lastIndexOf(NEWLINE) + 1;
        if (end > 0) yield buffer.subarray(0, end);
        else if (held === buffer.length) buffer = grown(buffer);
        buffer.copyWithin(0, end, held);
        held -= end;
      }
      const isLast = queue.length === 0;
      if (isLast && mayCome) {
        await watch?.changed(WATCH_MS);
        continue;
      }
      if (held > 0) yield buffer.subarray(0, held);
      held = 0;
      if (isLast) return;
      part?.file.close();
      part = queue.shift();
    }
  } finally {
    if (watch) signal?.removeEventListener("abort", watch.wake);
    watch?.close();
    part?.file.close();
    closeAll(queue);
  }
}
