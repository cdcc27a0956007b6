/**
 * Minification: removes comments and blanks, since Deno reads the sources of a command at every start.
 *
 * @module
 */

import { tokenizer } from "npm:acorn@8.15.0";

/** Characters that need no blank beside them: no two of them form another token. */
const ALONE = "(){}[];,:=<>?!&|*%";

function between(gap: string, before: string, after: string): string {
  if (gap === "") return "";
  if (gap.includes("\n")) return "\n";
  return ALONE.includes(before) || ALONE.includes(after) ? "" : " ";
}

/** Returns the module without comments, indentation and blanks. */
export function lean(source: string): string {
  let result = "", end = 0;
  for (const token of tokenizer(source, { ecmaVersion: "latest", sourceType: "module" })) {
    result += between(source.slice(end, token.start), source[end - 1] ?? "\n", source[token.start] ?? "\n");
    result += source.slice(token.start, token.end);
    end = token.end;
  }
  return result;
}
