/**
 * Flags and words that several commands have.
 *
 * @module
 */

import type { Word } from "./command.ts";
import { type Flag, one, word, yes } from "./flag_schema.ts";
import { FLAGS } from "./container_flags.ts";

/** `--json`. */
export const json: Flag<boolean> = yes("Print JSON");

/** Where images and containers are. */
export const folderFlags: { readonly images: Flag<string>; readonly containers: Flag<string> } = {
  images: FLAGS.images,
  containers: FLAGS.containers,
};

/** The letters of {@linkcode folderFlags}. */
export const folderLetters = { i: "images", c: "containers" } as const;

/** One container. */
export const CONTAINER: Word = { name: "CONTAINER", brief: "Name, ID or unique prefix of an ID" };

/** One or more containers. */
export const CONTAINERS: Word = { ...CONTAINER, repeated: true };

/** Returns a flag whose values are the `values`. */
export function oneOf<T extends string>(placeholder: string, brief: string, values: readonly T[]): Flag<T> {
  return one(placeholder, brief, (text) => {
    const value = values.find((value) => value === text);
    if (value === undefined) throw new Error(`${JSON.stringify(text)} is not ${values.join(" or ")}`);
    return value;
  });
}

/** `--format TEXT` of commands that fill in a template. */
export function template(brief: string): Flag<string> {
  return word("TEXT", brief);
}
