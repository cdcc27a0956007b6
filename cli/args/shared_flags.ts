/**
 * Flags and arguments shared by commands.
 *
 * @module
 */

import type { Word } from "./command.ts";
import { type Flag, one, yes } from "./flag_schema.ts";
import { FLAGS } from "./container_flags.ts";

/** `--json`. */
export const json: Flag<boolean> = yes("Print JSON");

/** The directories of images and containers. */
export const folderFlags: { readonly images: Flag<string>; readonly containers: Flag<string> } = {
  images: FLAGS.images,
  containers: FLAGS.containers,
};

/** One container. */
export const CONTAINER: Word = { name: "CONTAINER", brief: "Name, ID or unique prefix of an ID" };

/** One or more containers. */
export const CONTAINERS: Word = { ...CONTAINER, repeated: true };

/** Returns a flag that takes one of `values`. */
export function oneOf<T extends string>(placeholder: string, brief: string, values: readonly T[]): Flag<T> {
  return one(placeholder, brief, (text) => {
    const value = values.find((value) => value === text);
    if (value === undefined) throw new Error(`expected ${values.join(" or ")}`);
    return value;
  });
}
