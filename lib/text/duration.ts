/**
 * Durations, such as `1h30m`.
 *
 * @module
 */

import { InputError } from "../errors.ts";

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/**
 * Reads `500ms`, `30s`, `1h30m`; a number alone is seconds. Returns milliseconds.
 *
 * @throws {InputError} `bad-duration`.
 */
export function parseDuration(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Math.round(Number(text) * 1000);
  // First as a whole: looking for parts in many digits without a unit takes time that grows with their square.
  if (/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(text)) {
    const parts = [...text.matchAll(/([\d.]+)(\D+)/g)];
    return Math.round(parts.reduce((sum, [, number, unit = ""]) => sum + Number(number) * (UNITS[unit] ?? 0), 0));
  }
  throw new InputError(`invalid duration ${JSON.stringify(text)}`, {
    code: "bad-duration",
    facts: { text },
    hint: "use a number with a unit, such as 500ms, 30s or 1h30m",
  });
}
