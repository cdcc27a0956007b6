/**
 * Makes tar archives of trees of files.
 *
 * @module
 */

import { readTree, type TreeOptions } from "./read_tree.ts";
import { sparseMapBlock, TAR_END, tarHeader, tarPadding } from "./tar_write.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const CHUNK = 1 << 18;

/** The archive of what {@linkcode readTree} reads, in chunks that are valid until the next. Throws what that throws. */
export function* archiveTree(top: number, options: TreeOptions = {}): Generator<Uint8Array<ArrayBuffer>> {
  let size = 0;
  for (const part of readTree(top, options)) {
    if (part instanceof Uint8Array) {
      yield part;
      continue;
    }
    if (size > 0) yield tarPadding(size);
    size = part.size;
    yield tarHeader(part);
    if (part.sparse) yield sparseMapBlock(part.sparse);
  }
  if (size > 0) yield tarPadding(size);
  yield TAR_END;
}

/** Copies chunks together to larger ones. */
export async function* joined(source: Iterable<Bytes>, signal?: AbortSignal): AsyncGenerator<Bytes> {
  let whole = new Uint8Array(CHUNK), filled = 0;
  for (const chunk of source) {
    for (let at = 0; at < chunk.length;) {
      const part = chunk.subarray(at, at + whole.length - filled);
      whole.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled < whole.length) continue;
      signal?.throwIfAborted();
      yield whole;
      [whole, filled] = [new Uint8Array(CHUNK), 0];
    }
  }
  yield whole.subarray(0, filled);
}
