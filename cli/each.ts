/**
 * Commands that do the same with several containers.
 *
 * @module
 */

import { SauropodError } from "../lib/errors.ts";
import type { Context } from "./context.ts";
import { print, sayError } from "./text.ts";

/**
 * Does something with each of what was named and prints its name. One that fails does not keep the others from it, but
 * makes the command end with 1, unless the error's code is in `harmless`.
 */
export async function forEach(
  { process }: Context,
  queries: readonly string[],
  work: (query: string) => Promise<unknown> | unknown,
  harmless: readonly string[] = [],
): Promise<void> {
  for (const query of queries) {
    try {
      await work(query);
      print(query + "\n");
    } catch (error) {
      if (!(error instanceof SauropodError)) throw error;
      sayError(error);
      if (!harmless.includes(error.code)) process.exitCode = 1;
    }
  }
}
