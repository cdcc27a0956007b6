/**
 * Waiting for what a test has caused. The bound only ends a test that would hang: no test depends on how fast the machine is.
 *
 * @module
 */

import assert from "node:assert/strict";

/** Waits until `condition` holds; fails after `seconds`. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  seconds = 120,
): Promise<void> {
  for (const end = Date.now() + seconds * 1000; !await condition();) {
    assert(Date.now() < end, `in ${seconds} s, not ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
