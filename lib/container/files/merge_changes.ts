/**
 * What changes come to that were made one after the other.
 *
 * @module
 */

import { ContainerError } from "../../errors.ts";
import type { Change } from "./changes.ts";

/** A key in whose order a folder comes just before all that is in it. */
function treeKey(path: string): string {
  return path.replaceAll("/", "\0") + "\0";
}

/** Tells of a path whether it is in one of the folders. */
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

/** Whether nothing that was below the path is there any more. */
function isEmptied({ kind, before, after }: Change): boolean {
  return kind === "deleted" || (before?.type === "folder" && after?.type !== "folder");
}

function both(first: Change, then: Change): Change[] {
  const { path, before } = first, { after } = then;
  if (!before) return after ? [{ kind: "added", path, after }] : [];
  if (!after) return [{ kind: "deleted", path, before }];
  if (first.kind !== "deleted" || before.type !== "folder") return [{ kind: "changed", path, before, after }];
  // The first stands for all that was in the folder, the second does not say what of that is back.
  throw new ContainerError(`${path} was removed before the container was forked, and is there again`, {
    code: "changes-unknown",
    facts: { path },
    hint: "what a container of an image of it changes can be told: sauropod commit",
  });
}

/**
 * The changes that `first` and then `then` come to, by path.
 *
 * @throws {ContainerError} `changes-unknown` for a folder that was removed and made again.
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
