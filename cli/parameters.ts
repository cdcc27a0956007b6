/**
 * Flags that several commands have.
 *
 * @module
 */

import type { Flag } from "./flag.ts";
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

/** A flag of `run`, for a command that reads it in the same way. */
export function asInRun<T>({ brief, placeholder = "VALUE", read }: Flag<T>): {
  kind: "parsed";
  optional: true;
  brief: string;
  placeholder: string;
  parse: (input: string) => T;
} {
  return { kind: "parsed", optional: true, brief, placeholder, parse: (input) => read(input) };
}

/** For machines. */
export const json = yes("Print JSON");

/** Where images and containers are. */
export const folderFlags = {
  images: { kind: "parsed", optional: true, ...word(FLAGS.images.brief, "DIR") },
  containers: { kind: "parsed", optional: true, ...word(FLAGS.containers.brief, "DIR") },
} as const;
/** The short forms of {@linkcode folderFlags}. */
export const folderAliases = { i: "images", c: "containers" } as const;
