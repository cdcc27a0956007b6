/**
 * Makes tar archives of trees of files.
 *
 * @module
 */

import { readTree, type TreeOptions } from "./read_tree.ts";
import { sparseMapBlock, TAR_END, tarHeader, tarPadding } from "./write.ts";

/** Returns the archive of what {@linkcode readTree} reads, in chunks that are valid until the next. Throws what that throws. */
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
