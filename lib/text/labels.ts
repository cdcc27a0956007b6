/**
 * Labels from the command line, `NAME=VALUE`.
 *
 * @module
 */

import { InputError } from "../errors.ts";

/**
 * Reads `NAME=VALUE` words; `NAME` alone is an empty label. The last of a name counts.
 *
 * @throws {InputError} `bad-label`.
 */
export function parseLabels(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(words.map((word) => {
    const [name = "", value = ""] = word.split(/=(.*)/s);
    if (name.trim() !== "") return [name, value];
    throw new InputError(`invalid label ${JSON.stringify(word)}`, {
      code: "bad-label",
      facts: { value: word },
      hint: "use NAME=VALUE, such as --label tier=web",
    });
  }));
}
