/**
 * Commands that do the same with several containers.
 *
 * @module
 */

import { SauropodError } from "../../lib/errors.ts";
import { printOut, reportError } from "../output/output.ts";

/** How {@linkcode forEach} takes errors. */
export interface EachOptions {
  /** Codes of errors that do not count as failures. Default: none. */
  readonly harmless?: readonly string[];
  /** The exit status for an error. Default: 1. */
  readonly statusOf?: (error: SauropodError) => number;
}

/**
 * Does something with each of what was named and prints its name, or what `work` returns. One that fails does not keep
 * the others from it. Returns the exit status: 0, or that of the last failure.
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
