/**
 * Detach keys, as in `docker attach --detach-keys`.
 *
 * @module
 */

import { InputError } from "../../lib/errors.ts";

/** The default: control-P, control-Q. */
export const DETACH_KEYS = "ctrl-p,ctrl-q";

const CONTROL_MASK = 0x1f;

/**
 * Parses `ctrl-p,ctrl-q` or `ctrl-a,d`: characters, and control characters by name. With an empty text nothing detaches.
 *
 * @throws {InputError} `bad-keys`.
 */
export function parseDetachKeys(text: string): number[] {
  if (text === "") return [];
  return text.split(",").map((key) => {
    if (/^[!-~]$/.test(key)) return key.charCodeAt(0);
    const [, name] = /^ctrl-([a-zA-Z@[\\\]^_])$/.exec(key) ?? [];
    if (name !== undefined) return name.toUpperCase().charCodeAt(0) & CONTROL_MASK;
    throw new InputError(`invalid --detach-keys ${JSON.stringify(text)}: ${JSON.stringify(key)} is not a key`, {
      code: "bad-keys",
      facts: { keys: text },
      hint: "separate characters and ctrl-CHARACTER by commas: --detach-keys ctrl-a,d",
    });
  });
}

/** Forwards input up to the detach keys, which it drops; then calls `disconnect`. */
export function untilTyped(keys: readonly number[], disconnect: () => void): TransformStream<Uint8Array, Uint8Array> {
  let met = 0, done = false;
  return new TransformStream({
    transform(bytes, controller): void {
      if (done) return;
      const passed: number[] = [];
      for (const byte of bytes) {
        if (byte !== keys[met]) {
          passed.push(...keys.slice(0, met));
          met = 0;
        }
        if (byte !== keys[met]) passed.push(byte);
        else if (++met === keys.length) {
          done = true;
          break;
        }
      }
      if (passed.length > 0) controller.enqueue(Uint8Array.from(passed));
      if (done) disconnect();
    },
  });
}
