/**
 * Output: errors, tables, times.
 *
 * @module
 */

import { messageOf, SauropodError, SpawnError } from "../../lib/errors.ts";
import { printable, printableJson } from "../../lib/text/printable.ts";

const LINES = "\n\t", encoder = new TextEncoder();

/** Returns whether to write colours to standard error. */
function useColour(): boolean {
  return !Deno.noColor && Deno.stderr.isTerminal();
}

/** Writes an error and its hint to standard error. */
export function reportError(error: unknown): void {
  const hint = error instanceof SauropodError ? error.hint : undefined;
  const text = `${messageOf(error)}${hint === undefined ? "" : `\n${hint}`}`;
  const name = useColour() ? "\x1b[31msauropod:\x1b[0m" : "sauropod:";
  // Indented, so that a line break in a name cannot forge a message.
  Deno.stderr.writeSync(encoder.encode(`${name} ${printable(text, LINES).replaceAll("\n", "\n  ")}\n`));
}

/** Returns the exit status for an error: 125, or that of a {@linkcode SpawnError}. */
export function exitCodeOf(error: unknown): number {
  return error instanceof SpawnError ? error.exitCode : 125;
}

/** Writes lines to standard error, with control characters escaped. */
export function printError(text: string): void {
  Deno.stderr.writeSync(encoder.encode(printable(text, LINES) + "\n"));
}

/** Returns a file name on one line, unambiguously: backslashes are doubled. */
export function showName(name: string): string {
  return printable(name.replaceAll("\\", "\\\\"));
}

/** Writes all bytes unchanged to standard output or error. Exits quietly if the reader has closed its end. */
export function printBytes(stream: "stdout" | "stderr", bytes: Uint8Array): void {
  const out = stream === "stdout" ? Deno.stdout : Deno.stderr;
  try {
    for (let rest = bytes; rest.length > 0;) rest = rest.subarray(out.writeSync(rest));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(0);
    throw error;
  }
}

/** Writes lines to standard output, with control characters escaped. */
export function printOut(text: string): void {
  printBytes("stdout", encoder.encode(printable(text, LINES)));
}

/** Writes text with escape sequences to standard output. */
export function printControl(text: string): void {
  printBytes("stdout", encoder.encode(text));
}

/** Prints a value as JSON. */
export function printJson(value: unknown): void {
  printOut(printableJson(value, 2) + "\n");
}

/** Formats rows under headings, in columns as wide as their widest cell. Each row is one line. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headings, ...rows].map((row) => row.map((cell) => printable(cell)));
  const widths = headings.map((_, i) => Math.max(...all.map((row) => (row[i] ?? "").length)));
  return all.map((row) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join("  ").trimEnd() + "\n").join("");
}

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]] as const;

/** Formats the time since an ISO 8601 time: `3 minutes`. */
export function span(time: string, now = Date.now()): string {
  const seconds = Math.max(0, Math.round((now - Date.parse(time)) / 1000));
  const [unit, size] = UNITS.find(([, size]) => seconds >= size) ?? ["second", 1];
  const count = Math.floor(seconds / size);
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

/** Formats how long ago an ISO 8601 time was: `3 minutes ago`. */
export function ago(time: string, now = Date.now()): string {
  return `${span(time, now)} ago`;
}
