/**
 * Signals by name and number (`signal(7)`); the same on x86_64 and aarch64.
 *
 * @module
 */

import { InputError } from "../errors.ts";

export { divertUserSignal } from "../../ffi/process/process.ts";

const NAMES =
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
    .split(" ");

// The C library keeps the first two real-time signals for itself.
const FIRST_REAL_TIME = 34, LAST = 64;

function realTime(text: string): number | undefined {
  const [whole, up = 0, down = 0] = /^RT(?:MIN(?:\+(\d+))?|MAX(?:-(\d+))?)$/.exec(text) ?? [];
  if (whole === undefined) return undefined;
  return whole.startsWith("RTMIN") ? FIRST_REAL_TIME + Number(up) : LAST - Number(down);
}

/**
 * Returns the number of a signal given as `SIGTERM`, `TERM`, `term`, `RTMIN+3` or a number.
 *
 * @throws {InputError} `unknown-signal`.
 */
export function signalNumber(signal: string | number): number {
  const text = String(signal).toUpperCase().replace(/^SIG/, "");
  const number = /^\d+$/.test(text) ? Number(text) : realTime(text) ?? NAMES.indexOf(text) + 1;
  if (number >= 1 && number <= LAST) return number;
  throw new InputError(`unknown signal ${signal}`, {
    code: "unknown-signal",
    facts: { signal },
    hint: "use a name such as TERM, or a number",
  });
}
