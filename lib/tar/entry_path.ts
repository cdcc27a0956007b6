/**
 * The names of entries as ways below the directory that they are unpacked in.
 *
 * @module
 */

import { tooLarge, unsafe } from "./unpack_refusals.ts";

/** Prefix of whiteouts in a layer. */
export const WHITEOUT = ".wh.";

// Longer than what the kernel takes at once: names are walked, component by component.
const MAX_NAME = 65_535;

/**
 * Splits names of successive entries into components, of a `layer` or of an archive without whiteouts.
 *
 * @throws {ImageError} `archive-unsafe`; `archive-too-large` for more than `depth` components.
 */
export function componentsOfNames(depth: number, layer: boolean): (name: string) => string[] {
  let near = "", nearParts: string[] = [];
  return (name) => {
    // Most entries are beside the one before.
    const slash = name.lastIndexOf("/"), last = name.slice(slash + 1);
    const isNear = slash > 0 && name.slice(0, slash) === near && last !== "" && last !== "." && last !== "..";
    if (isNear && name.length <= MAX_NAME && nearParts.length < depth) return [...nearParts, last];
    const path = name.split("/").filter((part) => part !== "" && part !== ".");
    if (path.includes("..")) throw unsafe(name, "climbs out with `..`");
    if (path.length > depth) throw tooLarge("components in a name", depth);
    if (name.length > MAX_NAME) throw tooLarge("characters in a name", MAX_NAME);
    if (layer && path.slice(0, -1).some((part) => part.startsWith(WHITEOUT))) {
      throw unsafe(name, "is below a name that is reserved for whiteouts");
    }
    if (slash > 0 && path.at(-1) === last) [near, nearParts] = [name.slice(0, slash), path.slice(0, -1)];
    return path;
  };
}
