/**
 * Timestamps of logs and events: UTC with nanoseconds, `2026-11-24T06:15:12.699123456Z`. As strings they sort by time.
 *
 * @module
 */

import { isoTime } from "../host/clock.ts";
import { InputError } from "../errors.ts";

const MAX_SECONDS = Date.parse("9999-12-31T23:59:59Z") / 1000;
const ISO = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,9}))?)?(Z|[+-]\d{2}:\d{2})?$/i;
const UNIX = /^(\d+)(?:\.(\d{1,9}))?$/;
const DURATION = /^([+-]?)((?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h))+)$/;
const MILLISECONDS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  "µs": 1e-3,
  ms: 1,
  s: 1e3,
  m: 6e4,
  h: 3.6e6,
};

function format(seconds: number, fraction: string): string {
  return `${isoTime(seconds * 1000).slice(0, 19)}.${fraction.padEnd(9, "0")}Z`;
}

/** Returns a time in milliseconds since the epoch. */
export function formatTime(milliseconds: number): string {
  const within = Math.min(Math.max(0, Math.floor(milliseconds)), MAX_SECONDS * 1000);
  return format(Math.floor(within / 1000), String(within % 1000).padStart(3, "0"));
}

function ago(text: string, now: number): string | undefined {
  const [, sign, parts] = DURATION.exec(text) ?? [];
  if (parts === undefined) return undefined;
  const all = [...parts.matchAll(/([\d.]+)(\D+)/g)];
  const span = all.reduce((sum, [, count, unit = ""]) => sum + Number(count) * (MILLISECONDS[unit] ?? 0), 0);
  return formatTime(sign === "-" ? now + span : now - span);
}

/**
 * Parses a time: `10m` or `1h30m` ago (with `-` in front, from now), a date with or without time and zone (default:
 * midnight, the local zone), or seconds since the epoch with up to nine decimals.
 *
 * @throws {InputError} `bad-time`.
 */
export function parseTime(text: string, now = Date.now()): string {
  const relative = ago(text, now);
  if (relative !== undefined) return relative;
  const [, seconds, decimals = ""] = UNIX.exec(text) ?? [];
  const [, date, time = "00:00", fraction = decimals, zone = ""] = ISO.exec(text) ?? [];
  const epoch = seconds === undefined ? Date.parse(`${date}T${time}${zone}`) / 1000 : Number(seconds);
  if (epoch >= 0 && epoch <= MAX_SECONDS) return format(epoch, fraction);
  throw new InputError(`invalid time ${JSON.stringify(text)}`, {
    code: "bad-time",
    facts: { text },
    hint: "use a duration such as 90s or 1h30m, a date such as 2026-11-24T06:15:12Z, or seconds since 1970",
  });
}
