/**
 * Filters as users write them: `KEY=VALUE`.
 *
 * @module
 */

import { InputError } from "./errors.ts";

/** What each key asks of a thing. */
export type Filters<T> = Readonly<Record<string, (thing: T, value: string) => boolean>>;

/**
 * The test that `texts` describe: of those with the same key one must hold, for each key.
 *
 * @param of What is filtered, for the message.
 * @throws {InputError} `bad-filter`.
 */
export function parseFilters<T>(filters: Filters<T>, texts: readonly string[], of: string): (thing: T) => boolean {
  const parsed = texts.map((text) => {
    const [key = "", value] = text.split(/=(.*)/s);
    const test = Object.hasOwn(filters, key) ? filters[key] : undefined;
    if (test && value !== undefined) return { test, value };
    throw new InputError(`${JSON.stringify(text)} is not a filter of ${of}`, {
      code: "bad-filter",
      facts: { filter: text },
      hint: `write KEY=VALUE, where KEY is one of ${Object.keys(filters).join(", ")}`,
    });
  });
  const groups = [...Map.groupBy(parsed, ({ test }) => test).values()];
  return (thing) => groups.every((group) => group.some(({ test, value }) => test(thing, value)));
}
