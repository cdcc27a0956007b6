/**
 * Unpacks a tar stream, or what one would consist of, to a directory, as an image or as a layer of one.
 *
 * @module
 */

import { type ApplyOptions, applyTo, type Unpacked } from "./apply_entries.ts";
import type { ByteSource } from "./chunks.ts";
import type { TreePart } from "./read_tree.ts";
import { breather } from "../host/breath.ts";
import { tarReader } from "./read.ts";

/** How to unpack. */
export interface UnpackOptions extends ApplyOptions {
  /** Whether the archive may stop without the mark of its end, as its content is verified otherwise. Default: false. */
  mayLackEnd?: boolean;
}

/**
 * Applies an uncompressed tar stream to the directory that `root` is open on. Names are taken below it whatever they
 * begin with; what is not a directory replaces what is there, a directory only its attributes. Owners are set if the
 * caller is root; of the extended attributes, `security.capability` and `user.*` are.
 *
 * Throws {@linkcode ImageError} `archive-unsafe` (`..`, a way through a symbolic link, a bad whiteout),
 * `archive-too-large`, `archive-malformed`, `archive-truncated`, `archive-unsupported` or `unpack-failed`, and `occupied`
 * if nothing is to be replaced; the directory then holds a part of the archive.
 */
export async function unpack(source: ByteSource, root: number, options: UnpackOptions = {}): Promise<Unpacked> {
  const applied = applyTo(root, options), reader = tarReader(applied, options.mayLackEnd);
  try {
    for await (const chunk of source) {
      applied.count(chunk.length);
      applied.guarded(() => reader.push(chunk));
    }
    reader.finish();
    return applied.finish();
  } finally {
    applied.close();
  }
}

/**
 * Like {@linkcode unpack}, of what an archive would consist of. Now and then the thread's other work has its turn.
 *
 * @param signal Aborts the work.
 */
export async function writeTree(
  parts: Iterable<TreePart>,
  root: number,
  options: ApplyOptions = {},
  signal?: AbortSignal,
): Promise<Unpacked> {
  const applied = applyTo(root, options), breathe = breather(signal);
  const take = (part: TreePart): void => {
    if (part instanceof Uint8Array) {
      applied.count(part.length);
      return applied.body(part);
    }
    applied.end();
    applied.entry(part);
  };
  try {
    for (const part of parts) {
      applied.guarded(() => take(part));
      await breathe();
    }
    applied.guarded(applied.end);
    return applied.finish();
  } finally {
    applied.close();
  }
}
