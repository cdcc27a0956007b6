/**
 * Short ways to write addresses, and how refusals are checked.
 *
 * @module
 */

import assert from "node:assert/strict";
import { InputError } from "../../lib/errors.ts";
import { type Cidr, parseAddress, parseCidr } from "../../lib/text/address.ts";

/** An address. */
export function address(text: string): Uint8Array {
  return parseAddress(text) ?? assert.fail(`${text} is no address`);
}

/** An address with a prefix. */
export function cidr(text: string): Cidr {
  return parseCidr(text, "it");
}

/** Checks that something is refused with a code, and in words that do not change. */
export function assertRefused(work: () => unknown, code: string, what: string): void {
  assert.throws(work, (error) => {
    assert.ok(error instanceof InputError, `${what}: ${error}`);
    assert.equal(error.code, code, what);
    assert.ok(
      error.message.length > 10 && !/undefined|NaN|\[object/.test(error.message + (error.hint ?? "")),
      error.message,
    );
    return true;
  }, what);
}
