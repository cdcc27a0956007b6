/**
 * Leaves out of a module what only people read: Deno reads a command's sources anew at every start.
 *
 * @module
 */

import { tokenizer } from "npm:acorn@8.15.0";

/** Between these nothing is needed: no two of them make another word or operator together. */
const ALONE = "(){}[];,:=<>?!&|*%";

function between(gap: string, before: string, after: string): string {
  if (gap === "") return "";
  if (gap.includes("\n")) return "\n";
  return ALONE.includes(before) || ALONE.includes(after) ? "" : " ";
}

/** The same module without comments, indentation and blanks. */
export function lean(source: string): string {
  let result = "", end = 0;
  for (const token of tokenizer(source, { ecmaVersion: "latest", sourceType: "module" })) {
    result += between(source.slice(end, token.start), source[end - 1] ?? "\n", source[token.start] ?? "\n");
    result += source.slice(token.start, token.end);
    end = token.end;
  }
  return result;
}
