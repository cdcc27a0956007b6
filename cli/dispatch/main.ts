/**
 * Everything but a plain `run`: the other commands, help, completion, and what to say of errors.
 *
 * @module
 */

import { VERSION } from "../args/normalize.ts";
import type { Distrust } from "../../lib/host/trust.ts";
import { call, find } from "./dispatch.ts";
import { explain } from "../commands/explain.ts";
import { UsageError } from "../args/flag_schema.ts";
import { help } from "./help.ts";
import { Interrupted, takeUserSignal } from "../terminal/signals.ts";
import { exitCodeOf, printError, printOut, sayError } from "../output/output.ts";
import { toInputError, withMeant } from "./usage_error.ts";

/** Runs a command, or prints help. Returns the exit code. */
export async function parse(words: readonly string[]): Promise<number> {
  if (words[0] === "--version") {
    printOut(`${VERSION}\n`);
    return 0;
  }
  if (words[0] === "__complete") {
    const { complete } = await import("./complete.ts");
    const { words: found, files } = complete(words.slice(1));
    printOut(found.map(({ word, brief }) => `${word}\t${brief}\n`).join("") + (files ? ":files\n" : ""));
    return 0;
  }
  // It ends the command, as it does any other, and opens no debugger of Deno's.
  takeUserSignal();
  const found = find(words), code = await call(found);
  if (code === undefined) printOut(help(found));
  return code ?? 0;
}

/** Says what went wrong with what was typed. Returns the exit code. */
export function report(error: unknown, typed: readonly string[]): number {
  if (error instanceof Interrupted) return error.exitCode;
  // Leaving a scope has failed, too: that hides what it was left for.
  if (error instanceof SuppressedError) return report(error.suppressed, typed);
  sayError(error instanceof UsageError ? toInputError(error) : withMeant(error, typed));
  return exitCodeOf(error);
}

/** Says that folders which were there have not been used. */
export function sayPassedOver({ path, why }: Distrust): void {
  printError(`sauropod: ./images and ./containers were not used: ${path} ${why}`);
}

export { explain, printError };
