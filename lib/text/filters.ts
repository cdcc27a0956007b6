/**
 * Filters of listings, `KEY=VALUE`.
 *
 * @module
 */

import { InputError } from "../errors.ts";

/** Whether a thing is as a filter wants it. */
export type Test<T> = (thing: T, value: string) => boolean;

/** One filter key. */
export interface Filter<T> {
  /** Whether the thing is so. */
  readonly test: Test<T>;
  /** The values that there are. Default: any. */
  readonly values?: readonly string[];
  /** Whether all values of this key must hold. Default: one of them. */
  readonly every?: boolean;
}

/** The filters by key. */
export type Filters<T> = Readonly<Record<string, Test<T> | Filter<T>>>;

function refuse(text: string, of: string, hint: string): never {
  throw new InputError(`invalid filter of ${of} ${JSON.stringify(text)}`, {
    code: "bad-filter",
    facts: { filter: text },
    hint,
  });
}

/**
 * Returns the predicate for filters in `texts`: values of one key are alternatives, different keys must all match.
 *
 * @param of The filtered objects, for the message.
 * @throws {InputError} `bad-filter`.
 */
export function parseFilters<T>(filters: Filters<T>, texts: readonly string[], of: string): (thing: T) => boolean {
  const parsed = texts.map((text) => {
    const [key = "", value] = text.split(/=(.*)/s);
    const found = Object.hasOwn(filters, key) ? filters[key] : undefined;
    if (found === undefined || value === undefined) {
      refuse(text, of, `use KEY=VALUE, where KEY is one of ${Object.keys(filters).join(", ")}`);
    }
    const filter: Filter<T> = typeof found === "function" ? { test: found } : found;
    if (filter.values?.includes(value) === false) {
      refuse(text, of, `use one of these for ${key}: ${filter.values.join(", ")}`);
    }
    return { ...filter, value };
  });
  const groups = [...Map.groupBy(parsed, ({ test }) => test).values()];
  return (thing) =>
    groups.every((group) => {
      const holds = ({ test, value }: typeof group[number]): boolean => test(thing, value);
      return group[0]?.every ? group.every(holds) : group.some(holds);
    });
}
