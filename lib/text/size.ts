/**
 * Memory sizes and network rates.
 *
 * @module
 */

import { InputError } from "../errors.ts";

const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/**
 * Returns the bytes of a size such as `64m`, `1.5g`, `10MiB`, `2kb` or `100000`, rounded down. As with Docker, units
 * are powers of 1024 whichever way they are written.
 *
 * @throws {InputError} `bad-size`: it is not a size, or above 2^53 - 1.
 */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?|\.\d+) ?(?:b|([kmgtp])(?:i?b)?)?$/i.exec(text);
  const power = match?.[2] === undefined ? 0 : " kmgtp".indexOf(match[2].toLowerCase());
  const bytes = match === null ? NaN : Math.floor(Number(match[1]) * 1024 ** power);
  if (!Number.isSafeInteger(bytes)) {
    throw new InputError(`invalid size ${JSON.stringify(text)}${match === null ? "" : ": too large"}`, {
      code: "bad-size",
      facts: { text },
      hint: "use a number and a unit, such as 512k, 64m or 1.5g",
    });
  }
  return bytes;
}

const RATE_UNITS = ["", "k", "m", "g"];

/**
 * Returns the bits a second of a rate such as `10mbit`, `1.5gbit`, `64kbit` or `8000`. As with tc(8), units are powers
 * of 1000.
 *
 * @throws {InputError} `bad-rate`.
 */
export function parseRate(text: string): number {
  const [, digits = "", unit = ""] = /^(\d+(?:\.\d+)?) ?([kmg]?)(?:bit)?$/i.exec(text) ?? [];
  const bits = Math.round(Number(digits) * 1000 ** RATE_UNITS.indexOf(unit.toLowerCase()));
  if (digits !== "" && Number.isSafeInteger(bits)) return bits;
  throw new InputError(`invalid rate ${JSON.stringify(text)}`, {
    code: "bad-rate",
    facts: { text },
    hint: "use bits per second with a unit, such as 64kbit, 10mbit or 1gbit",
  });
}

/** Formats a size in powers of 1024 with at most two decimals: `64 MiB`, `1.5 GiB`, `512 B`. */
export function formatSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (unit < UNITS.length - 1 && Math.round(value * 100) >= 102_400) {
    value /= 1024;
    unit++;
  }
  return `${Math.round(value * 100) / 100} ${UNITS[unit]}`;
}
