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
  /** The values, round by round. */
  values: readonly number[];
}

const POLL_MS = 10;

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
}

/** What is measured on, and when. */
export function machine(): string {
  const model = /^model name\s*:\s*(.*)$/m.exec(Deno.readTextFileSync("/proc/cpuinfo"))?.[1] ?? Deno.build.arch;
  const kernel = Deno.readTextFileSync("/proc/sys/kernel/osrelease").trim();
  const today = new Date().toISOString().slice(0, 10);
  return `${today}, ${navigator.hardwareConcurrency} x ${model}, Linux ${kernel}, Deno ${Deno.version.deno}\n`;
}

/** Runs `work` and returns how many milliseconds it took. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

/** Runs a command, which must succeed, and returns the most memory that it used, in KiB. Its last moments do not count. */
export async function peakMemory(words: readonly string[]): Promise<number> {
  const [program = "", ...args] = words;
  const child = new Deno.Command(program, { args, stdin: "null", stdout: "null", stderr: "inherit" }).spawn();
  let peak = 0, running = true;
  const ended = child.status.finally(() => running = false);
  while (running) {
    const status = await Deno.readTextFile(`/proc/${child.pid}/status`).catch(() => "");
    peak = Math.max(peak, Number(/^VmHWM:\s*(\d+)/m.exec(status)?.[1] ?? 0));
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  if (!(await ended).success) throw new Error(`${words.join(" ")} failed`);
  return peak;
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
    const own = values[i] ?? [];
    return { name, median: middle(own), least: Math.min(...own), values: own };
  });
}

/** How `one` compares with `other`: the middle of the rounds' ratios, so that a slow moment of the machine counts for both. */
export function ratio(one: Measured, other: Measured): number {
  return middle(one.values.map((value, round) => value / (other.values[round] ?? NaN)));
}

/** A table of medians and of how Sauropod, the first contender, compares with each of the others. */
export function report(title: string, unit: string, measured: readonly Measured[]): string {
  const [own] = measured;
  const rows = measured.map((one) => {
    const { name, median, least } = one;
    const beside = own && own !== one ? `${ratio(own, one).toFixed(2)}x` : "";
    return `  ${name.padEnd(34)} ${median.toFixed(2).padStart(9)} ${least.toFixed(2).padStart(9)} ${
      beside.padStart(8)
    }`;
  });
  const head = `  ${"".padEnd(34)} ${"median".padStart(9)} ${"least".padStart(9)} ${"ratio".padStart(8)}`;
  return `${title} (${unit}; ratio: ours to theirs; ${own?.values.length ?? 0} rounds)\n${head}\n${rows.join("\n")}\n`;
}

/** What is to be achieved: a ratio of at most or at least so much. */
export interface Goal {
  /** The two that are compared, by name: ours and theirs. */
  of: readonly [ours: string, theirs: string];
  /** The largest ratio. */
  most?: number;
  /** The least ratio. */
  least?: number;
}

/** Tells how far goals are met, those of contenders that were measured. */
export function judge(measured: readonly Measured[], goals: readonly Goal[]): string {
  const find = (name: string): Measured | undefined => measured.find((one) => one.name === name);
  return goals.map(({ of: [ours, theirs], most = Infinity, least = -Infinity }) => {
    const one = find(ours), other = find(theirs);
    const aim = `${ours} / ${theirs}, ${most < Infinity ? `at most ${most}x` : `at least ${least}x`}`;
    if (!one || !other) return `  goal: ${aim}: not measured\n`;
    const value = ratio(one, other);
    return `  goal: ${aim}: ${value.toFixed(3)}x, ${value <= most && value >= least ? "met" : "MISSED"}\n`;
  }).join("");
}
