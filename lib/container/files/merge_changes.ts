/**
 * Merge of consecutive changes into one list.
 *
 * @module
 */

import { ContainerError } from "../../errors.ts";
import type { Change } from "./changes.ts";

/** Returns a sort key that puts a directory just before its content. */
function treeKey(path: string): string {
  return path.replaceAll("/", "\0") + "\0";
}

/** Returns a test whether a path is in one of the directories. */
function isInOneOf(folders: Iterable<string>): (path: string) => boolean {
  const tops: string[] = [];
  for (const key of [...folders].map(treeKey).sort()) {
    const last = tops.at(-1);
    if (last === undefined || !key.startsWith(last)) tops.push(key);
  }
  return (path) => {
    const key = treeKey(path);
    let low = 0, high = tops.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((tops[middle] ?? "") < key) low = middle + 1;
      else high = middle;
    }
    const top = tops[low - 1];
    return top !== undefined && key.startsWith(top);
  };
}

/** Returns whether the former content of the path is gone. */
function isEmptied({ kind, before, after }: Change): boolean {
  return kind === "deleted" || (before?.type === "folder" && after?.type !== "folder");
}

function both(first: Change, then: Change): Change[] {
  const { path, before } = first, { after } = then;
  if (!before) return after ? [{ kind: "added", path, after }] : [];
  if (!after) return [{ kind: "deleted", path, before }];
  if (first.kind !== "deleted" || before.type !== "folder") return [{ kind: "changed", path, before, after }];
  // The deletion stands for the whole content; the addition does not tell which of it is back.
  throw new ContainerError(`cannot tell the changes in ${path}: it was removed before the fork, and created again`, {
    code: "changes-unknown",
    facts: { path },
    hint: "commit the container, and compare with the new image",
  });
}

/**
 * Merges the changes `first` and then `then`, by path.
 *
 * @throws {ContainerError} `changes-unknown` for a directory that was removed and created again.
 */
export function mergeChanges(first: readonly Change[], then: readonly Change[]): Change[] {
  const later = new Map(then.map((change) => [change.path, change]));
  const isGone = isInOneOf(then.filter(isEmptied).map(({ path }) => path));
  const staying = first.filter(({ path }) => !later.has(path) && !isGone(path));
  const known = new Map(first.map((change) => [change.path, change]));
  const changed = then.flatMap((change) => {
    const earlier = known.get(change.path);
    return earlier ? both(earlier, change) : [change];
  });
  return [...staying, ...changed].sort((a, b) => a.path < b.path ? -1 : 1);
}
