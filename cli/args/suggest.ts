/**
 * Suggestions for misspelled words.
 *
 * @module
 */

/** Returns the edit distance: letters added, omitted, replaced, or swapped with the next one. */
function distance(a: string, b: string): number {
  const rows = [[...Array(b.length + 1).keys()]];
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Infinity;
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    rows.push(row);
    for (let j = 1; j <= b.length; j++) {
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row.push(Math.min(
        at(i - 1, j) + 1,
        at(i, j - 1) + 1,
        at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1),
        swapped ? at(i - 2, j - 2) + 1 : Infinity,
      ));
    }
  }
  return at(a.length, b.length);
}

/** Returns at most three of `known` that `word` may mean: the nearest, else those that start with it. */
export function nearest(word: string, known: readonly string[]): string[] {
  const { length } = word.replace(/^-+/, "");
  if (length === 0) return [];
  const far = Math.max(1, Math.floor(length / 3));
  const distances = known.map((name) => ({ name, by: distance(word.toLowerCase(), name) }));
  const least = Math.min(far, ...distances.map(({ by }) => by));
  const near = distances.filter(({ by }) => by <= least).map(({ name }) => name);
  return (near.length > 0 ? near : known.filter((name) => name.startsWith(word))).slice(0, 3);
}
