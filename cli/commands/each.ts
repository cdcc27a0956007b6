/**
 * Commands that take several containers.
 *
 * @module
 */

import { SauropodError } from "../../lib/errors.ts";
import { printOut, reportError } from "../output/output.ts";

/** Error handling of {@linkcode forEach}. */
export interface EachOptions {
  /** Codes of errors that are not failures. Default: none. */
  readonly harmless?: readonly string[];
  /** Returns the exit status for an error. Default: 1. */
  readonly statusOf?: (error: SauropodError) => number;
}

/**
 * Runs `work` for each name and prints the name, or what `work` returns. Continues after a failure. Returns the exit
 * status: 0, or that of the last failure.
 */
export async function forEach(
  queries: readonly string[],
  work: (query: string) => Promise<string | void> | string | void,
  { harmless = [], statusOf = () => 1 }: EachOptions = {},
): Promise<number> {
  let status = 0;
  for (const query of queries) {
    try {
      printOut(`${await work(query) ?? query}\n`);
    } catch (error) {
      if (!(error instanceof SauropodError)) throw error;
      reportError(error);
      if (!harmless.includes(error.code)) status = statusOf(error);
    }
  }
  return status;
}
