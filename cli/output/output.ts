/**
 * How the command line speaks: errors, tables, times.
 *
 * @module
 */

import { messageOf, SauropodError, SpawnError } from "../../lib/errors.ts";
import { printable, printableJson } from "../../lib/text/printable.ts";

const LINES = "\n\t", encoder = new TextEncoder();

/** Whether to write colours to standard error. */
function coloured(): boolean {
  return !Deno.noColor && Deno.stderr.isTerminal();
}

/** Writes an error to standard error as people read it: what failed, then what to try. */
export function sayError(error: unknown): void {
  const hint = error instanceof SauropodError ? error.hint : undefined;
  const text = `${messageOf(error)}${hint === undefined ? "" : `\n${hint}`}`;
  const name = coloured() ? "\x1b[31msauropod:\x1b[0m" : "sauropod:";
  // Lines of a name that is in it do not look like others of ours.
  Deno.stderr.writeSync(encoder.encode(`${name} ${printable(text, LINES).replaceAll("\n", "\n  ")}\n`));
}

/** The exit code that tells a shell about an error: 125, or what a {@linkcode SpawnError} says. */
export function exitCodeOf(error: unknown): number {
  return error instanceof SpawnError ? error.exitCode : 125;
}

/** Writes lines to standard error, without what a terminal obeys. */
export function printError(text: string): void {
  Deno.stderr.writeSync(encoder.encode(printable(text, LINES) + "\n"));
}

/** A name of a file on one line, so that each name has a text of its own: backslashes are doubled. */
export function showName(name: string): string {
  return printable(name.replaceAll("\\", "\\\\"));
}

/** Writes bytes as they are to standard output or error, all of them. A reader that has gone away ends the program quietly. */
export function printBytes(stream: "stdout" | "stderr", bytes: Uint8Array): void {
  const out = stream === "stdout" ? Deno.stdout : Deno.stderr;
  try {
    for (let rest = bytes; rest.length > 0;) rest = rest.subarray(out.writeSync(rest));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(0);
    throw error;
  }
}

/** Writes lines to standard output, without what a terminal obeys. */
export function printOut(text: string): void {
  printBytes("stdout", encoder.encode(printable(text, LINES)));
}

/** Writes text to standard output with escape sequences of ours. */
export function printControl(text: string): void {
  printBytes("stdout", encoder.encode(text));
}

/** Prints a value as JSON. */
export function printJson(value: unknown): void {
  printOut(printableJson(value, 2) + "\n");
}

/** Rows under headings, in columns as wide as their widest cell. Each row is one line. */
export function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [headings, ...rows].map((row) => row.map((cell) => printable(cell)));
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
