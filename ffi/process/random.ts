/**
 * Random bytes of the kernel (getrandom(2)), which start faster than the `crypto` of the web.
 *
 * @module
 */

import { shim } from "../native.ts";

// Larger requests can be interrupted by a signal.
const MAX = 256;

/** Returns `count` random bytes, at most 256: getrandom(2). */
export function randomBytes(count: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(count);
  if (count > MAX || shim.b("getrandom", bytes, count) !== count) {
    throw new RangeError(`cannot get ${count} random bytes`);
  }
  return bytes;
}
