/**
 * Randomness of the kernel's, which is at hand sooner than that of the web's `crypto`.
 *
 * @module
 */

import { shim } from "../native.ts";

const MOST = 256;

/** `count` random bytes, at most 256: so few come whole (`getrandom(2)`). */
export function randomBytes(count: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(count);
  if (count > MOST || shim.b("getrandom", bytes, count) !== count) throw new RangeError(`no ${count} random bytes`);
  return bytes;
}
