/**
 * Flags that several commands have.
 *
 * @module
 */

import { FLAGS } from "./flags.ts";

/** A flag without a value. */
export const yes = (brief: string): { kind: "boolean"; brief: string; optional: true; withNegated: false } => ({
  kind: "boolean",
  brief,
  optional: true,
  withNegated: false,
});
/** A value that is a word. */
export const word = (
  brief: string,
  placeholder: string,
): { brief: string; placeholder: string; parse: (input: string) => string } => ({
  brief,
  placeholder,
  parse: (input) => input,
});

/** For machines. */
export const json = yes("Print JSON");

/** Where images and containers are. */
export const folderFlags = {
  images: { kind: "parsed", optional: true, ...word(`DIR: ${FLAGS.images.brief}`, "DIR") },
  containers: { kind: "parsed", optional: true, ...word(`DIR: ${FLAGS.containers.brief}`, "DIR") },
} as const;
/** The short forms of {@linkcode folderFlags}. */
export const folderAliases = { i: "images", c: "containers" } as const;
