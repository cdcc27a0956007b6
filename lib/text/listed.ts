import { printable } from "./printable.ts";

const MOST = 8, LONGEST = 80;

/**
 * Returns words that others chose as one line for people: `a, b and 12 more`, each of them only once, not too long and
 * without what a terminal obeys.
 */
export function listed(words: Iterable<string>, most = MOST): string {
  const all = [...new Set(words)], shown = all.slice(0, all.length === most + 1 ? most + 1 : most);
  const texts = shown.map((word) => printable(word.length > LONGEST ? `${word.slice(0, LONGEST)}…` : word));
  const more = all.length - shown.length;
  return more > 0 ? `${texts.join(", ")} and ${more} more` : texts.join(", ");
}
