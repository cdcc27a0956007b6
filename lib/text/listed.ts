import { printable } from "./printable.ts";

const MOST = 8, LONGEST = 80;

/** Joins untrusted words in one printable line: `a, b and 12 more`, without duplicates and of limited length. */
export function listed(words: Iterable<string>, most = MOST): string {
  const all = [...new Set(words)], shown = all.slice(0, all.length === most + 1 ? most + 1 : most);
  const texts = shown.map((word) => printable(word.length > LONGEST ? `${word.slice(0, LONGEST)}…` : word));
  const more = all.length - shown.length;
  return more > 0 ? `${texts.join(", ")} and ${more} more` : texts.join(", ");
}
