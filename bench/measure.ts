/**
 * Measuring contenders side by side: each round runs every one of them once, so that what else the machine does
 * meets all alike.
 *
 * @module
 */

/** One way of doing the work that is measured. */
export interface Contender {
  /** Its name in the report. */
  name: string;
  /** Does the work once and returns the measured value. */
  once(): Promise<number>;
}

/** What was measured of one contender. */
export interface Measured {
  /** Its name. */
  name: string;
  /** The middle value. */
  median: number;
  /** The least value. */
  least: number;
  /** How many values there are. */
  rounds: number;
}

/** Runs `work` and returns how many milliseconds it took. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Measures all contenders in `rounds` alternating rounds, after one that does not count. */
export async function measure(contenders: readonly Contender[], rounds: number): Promise<Measured[]> {
  const values = contenders.map((): number[] => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [i, contender] of contenders.entries()) {
      const value = await contender.once();
      if (round > 0) values[i]?.push(value);
    }
  }
  return contenders.map(({ name }, i) => {
    const sorted = (values[i] ?? []).sort((a, b) => a - b);
    return { name, median: sorted[sorted.length >> 1] ?? NaN, least: sorted[0] ?? NaN, rounds };
  });
}

/** A table of medians and of how Sauropod, the first contender, compares with each of the others. */
export function report(title: string, unit: string, measured: readonly Measured[]): string {
  const [own] = measured;
  const rows = measured.map(({ name, median, least }) => {
    const ratio = own && name !== own.name ? `${(own.median / median).toFixed(2)}x` : "";
    return `  ${name.padEnd(34)} ${median.toFixed(2).padStart(9)} ${least.toFixed(2).padStart(9)} ${ratio.padStart(8)}`;
  });
  const head = `  ${"".padEnd(34)} ${"median".padStart(9)} ${"least".padStart(9)} ${"ratio".padStart(8)}`;
  return `${title} (${unit}; ratio: ours to theirs; ${own?.rounds ?? 0} rounds)\n${head}\n${rows.join("\n")}\n`;
}
