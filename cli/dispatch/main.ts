/**
 * Dispatch of all commands but a plain `run` and `exec`: help, completion, errors.
 *
 * @module
 */

import { VERSION } from "../args/normalize.ts";
import type { Distrust } from "../../lib/host/trust.ts";
import { call, find } from "./dispatch.ts";
import { explain } from "../commands/explain.ts";
import { UsageError } from "../args/flag_schema.ts";
import { help } from "./help.ts";
import { handleUserSignal, Interrupted } from "../terminal/signals.ts";
import { exitCodeOf, printError, printOut, reportError } from "../output/output.ts";
import { toInputError, withSuggestion } from "./usage_error.ts";

/** Runs a command, or prints help. Returns the exit status. */
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
  // SIGUSR1 ends the command, like any other; Deno would open a debugger.
  handleUserSignal();
  const found = find(words), code = await call(found);
  if (code === undefined) printOut(help(found));
  return code ?? 0;
}

/** Prints an error of the command line `typed`. Returns the exit status. */
export function report(error: unknown, typed: readonly string[]): number {
  if (error instanceof Interrupted) return error.exitCode;
  // Disposal has failed, too, which hides the first error.
  if (error instanceof SuppressedError) return report(error.suppressed, typed);
  reportError(error instanceof UsageError ? toInputError(error) : withSuggestion(error, typed));
  return exitCodeOf(error);
}

/** Warns that the directories of a checkout are not used. */
export function warnUntrusted({ path, why }: Distrust): void {
  printError(`sauropod: ignoring ./images and ./containers: ${path} ${why}`);
}

export { explain, printError };
