/**
 * Trying again what failed for a reason that may pass.
 *
 * @module
 */

import { ImageError } from "../errors.ts";
import { sleep } from "../host/poll.ts";

/** Time and chance, so that tests can do without. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Waits, or until `signal` is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** A number from 0 to 1. */
  random(): number;
}

/** The machine's clock. */
export const REAL_CLOCK: Clock = { now: Date.now, sleep, random: Math.random };

/** How often something is tried in all. */
export const TRIES = 5;

// A mirror has somebody to stand in for it, and who cannot be connected to now is rarely there a second later.
const FEW_TRIES = 2;
const FIRST_WAIT = 400;
const LONGEST_WAIT = 15_000;
/** A registry that asks for more patience than this, in milliseconds, gets none. */
const LONGEST_PATIENCE = 120_000;
const PATIENCE_WITH_MIRRORS = 2_000;
const PASSING = new Set([408, 425, 429, 500, 502, 503, 504]);

/** Returns the milliseconds that a `Retry-After` header asks for, which is a number of seconds or a date. */
export function parseRetryAfter(header: string | null, now: number): number | undefined {
  if (header === null) return undefined;
  if (/^\s*[0-9]{1,9}\s*$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

function askedWait(error: ImageError): number | undefined {
  return typeof error.facts.retryAfter === "number" ? error.facts.retryAfter : undefined;
}

/** How often to try, in all, what has ended with `error`: once if it would end so again. */
export function triesFor(error: unknown): number {
  if (!(error instanceof ImageError)) return 1;
  const { stage, status, cut } = error.facts;
  if (error.code === "registry-unreachable") return stage === "secure" ? 1 : stage === "connect" ? FEW_TRIES : TRIES;
  if ((askedWait(error) ?? 0) > LONGEST_PATIENCE) return 1;
  return cut === true || typeof status === "number" && PASSING.has(status) ? TRIES : 1;
}

function waitBefore(tried: number, error: unknown, clock: Clock): number {
  const asked = error instanceof ImageError ? askedWait(error) : undefined;
  const backOff = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** (tried - 1)) * (0.5 + clock.random());
  return Math.round(asked === undefined ? backOff : asked + clock.random() * FIRST_WAIT);
}

/** How {@linkcode withRetries} goes about it. */
export interface RetryOptions {
  /** The clock. */
  clock: Clock;
  /** Ends it all. */
  signal?: AbortSignal;
  /** Whether another site will be asked if it fails. Default: no. */
  standIn?: boolean;
  /** Whether the try that has just failed came so far that the next one counts as the first. Default: never. */
  gotOn?: () => boolean;
}

/** Runs `work` until it succeeds, fails permanently, or has failed too often. Its last error is thrown. */
export async function withRetries<T>(
  { clock, signal, standIn = false, gotOn }: RetryOptions,
  work: () => Promise<T>,
): Promise<T> {
  for (let tried = 1;; tried++) {
    signal?.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      signal?.throwIfAborted();
      if (gotOn?.()) tried = 1;
      if (tried >= Math.min(triesFor(error), standIn ? FEW_TRIES : TRIES)) throw error;
      const wait = waitBefore(tried, error, clock);
      if (standIn && wait > PATIENCE_WITH_MIRRORS) throw error;
      await clock.sleep(wait, signal);
    }
  }
}
