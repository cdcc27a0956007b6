/**
 * How the command line speaks: errors, tables, times.
 *
 * @module
 */

import { messageOf, SauropodError, SpawnError } from "../lib/errors.ts";

/** Whether to write colours to standard error. */
function coloured(): boolean {
  return !Deno.noColor && Deno.stderr.isTerminal();
}

/** An error as people read it: what failed, then what to try. */
export function formatError(error: unknown): string {
  const name = coloured() ? "\x1b[31msauropod:\x1b[0m" : "sauropod:";
  if (!(error instanceof SauropodError)) return `${name} ${messageOf(error)}`;
  return `${name} ${error.message}${error.hint === undefined ? "" : `\n  ${error.hint}`}`;
}

/** The exit code that tells a shell about an error: 125, or what a {@linkcode SpawnError} says. */
export function exitCodeOf(error: unknown): number {
  return error instanceof SpawnError ? error.exitCode : 125;
}

/** Writes to standard error. */
export function say(text: string): void {
  Deno.stderr.writeSync(new TextEncoder().encode(text + "\n"));
}

/** A name of a file on one line: what is no printable character, and the bytes of a name that is no text, are escaped. */
export function showName(name: string): string {
  const hex = (code: number): string => `\\x${code.toString(16).padStart(2, "0")}`;
  return name.replaceAll(/[\p{Cc}\\]|\p{Cs}|[\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    const code = character.charCodeAt(0);
    if (character === "\\") return "\\\\";
    if (character === "\n") return "\\n";
    if (code >= 0xdc80 && code <= 0xdcff) return hex(code - 0xdc00);
    return code < 0x100 ? hex(code) : `\\u{${code.toString(16)}}`;
  });
}

/** Writes to standard output or error, all of it. A reader that has gone away ends the program quietly. */
export function printBytes(stream: "stdout" | "stderr", bytes: Uint8Array): void {
  const out = stream === "stdout" ? Deno.stdout : Deno.stderr;
  try {
    for (let rest = bytes; rest.length > 0;) rest = rest.subarray(out.writeSync(rest));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(0);
    throw error;
  }
}

/** Writes text to standard output, like {@linkcode printBytes}. */
export function print(text: string): void {
  printBytes("stdout", new TextEncoder().encode(text));
}

/** Prints a value as JSON. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2) + "\n");
}

/** Rows under headings, in columns as wide as their widest cell. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headings, ...rows];
  const widths = headings.map((_, i) => Math.max(...all.map((row) => (row[i] ?? "").length)));
  return all.map((row) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ").trimEnd() + "\n").join("");
}

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]] as const;

/** How much time has passed since an ISO 8601 time: `3 minutes`. */
export function span(time: string, now = Date.now()): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(time)) / 1000));
  const [unit, size] = UNITS.find(([, size]) => seconds >= size) ?? ["second", 1];
  const count = Math.floor(seconds / size);
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

/** How long ago an ISO 8601 time was: `3 minutes ago`. */
export function ago(time: string, now = Date.now()): string {
  return `${span(time, now)} ago`;
}
