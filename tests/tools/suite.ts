/**
 * Runs test files side by side, each in a process, and namespaces, of its own:
 * `suite.ts [--jobs N] [--pure] [FILE or DIRECTORY…]`. With `--pure` it runs the tests that make no container, a few
 * processes for all, without namespaces.
 *
 * What a file writes is shown when it ends. The last line is `N passed, N failed`. A file that takes too long is killed
 * with all that it started, and counts as one failure. A test that is skipped without a printed reason counts as failed,
 * and where CI is set one that is skipped for another reason than the machine's own.
 *
 * @module
 */

import { IMAGE_VARIABLE, makeBusybox } from "../helpers/busybox.ts";
import { isPure, testFiles, TESTS } from "./files.ts";

const APART = `${TESTS}tools/apart.sh`;
/** Seconds after which a process is killed. */
const PATIENCE = 900;

/** Test files that one process runs, and how it does. */
interface Batch {
  readonly files: readonly string[];
  /** The command before `deno test`. */
  readonly within: readonly string[];
}

interface Outcome {
  readonly name: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly seconds: number;
}

/** Returns the files with the longest first, by their size: what is started last then ends soonest. */
function longestFirst(files: readonly string[]): string[] {
  const weigh = (file: string): number => (file.match(/v2|aarch64|chaos/) ? 1e6 : 0) + Deno.statSync(file).size;
  const weight = new Map(files.map((file) => [file, weigh(file)]));
  return files.toSorted((a, b) => (weight.get(b) ?? 0) - (weight.get(a) ?? 0));
}

function batchesOf(files: readonly string[], jobs: number, pure: boolean): Batch[] {
  // With the death of this process apart.sh is told to end, and ends with its namespaces all that is in them.
  if (!pure) return files.map((file) => ({ files: [file], within: ["setpriv", "--pdeathsig", "TERM", APART] }));
  const shares = Map.groupBy(files.entries(), ([i]) => i % jobs);
  return [...shares.values()].map((share) => ({ files: share.map(([, file]) => file), within: ["env"] }));
}

function count(text: string, word: string): number {
  return Number(new RegExp(`(\\d+) ${word}`).exec(text)?.[1] ?? 0);
}

/** Returns why the skipped tests of a process count as failed; empty if they do not. */
function objection(output: string, skipped: number): string {
  if (skipped === 0) return "";
  const lacks = [...output.matchAll(/^skipped: .*$/gm)].map(([line]) => line);
  if (lacks.length > 0 && Deno.env.has("CI")) return `CI accepts no tests ${[...new Set(lacks)].join(", ")}`;
  return lacks.length > 0 || /^skipped on this machine: /m.test(output) ? "" : "tests were skipped without a reason";
}

const running = new Set<Deno.ChildProcess>();

async function run({ files, within }: Batch, image: string): Promise<Outcome> {
  const began = performance.now();
  const [program = "", ...before] = within;
  const child = new Deno.Command(program, {
    args: [...before, Deno.execPath(), "test", "-A", "--no-check", ...files],
    env: { NO_COLOR: "1", [IMAGE_VARIABLE]: image },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  running.add(child);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGTERM");
  }, PATIENCE * 1000);
  const { stdout, stderr, code } = await child.output();
  clearTimeout(timer);
  running.delete(child);
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  const seconds = (performance.now() - began) / 1000;
  const summary = [...text.matchAll(/^(?:ok|FAILED) \| .*$/gm)].at(-1)?.[0] ?? "";
  const skipped = count(summary, "ignored"), wrong = objection(text, skipped);
  const failed = count(summary, "failed") || (code === 0 ? 0 : 1);
  const name = files.map((file) => file.replace(TESTS, "tests/")).join(" ");
  const why = [late ? `killed after ${PATIENCE} s` : "", wrong].filter(Boolean).map((one) => `, ${one}`).join("");
  console.log(`${text.trimEnd()}\n${name}: ${seconds.toFixed(1)} s${why}\n`);
  return { name, passed: count(summary, "passed"), failed: failed + (wrong ? skipped : 0), skipped, seconds };
}

/** Runs batches, `jobs` at a time, and takes each from the queue as it starts it. */
async function runAll(queue: Batch[], jobs: number, image: string): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  await Promise.all(Array.from({ length: jobs }, async () => {
    for (let batch = queue.shift(); batch !== undefined; batch = queue.shift()) outcomes.push(await run(batch, image));
  }));
  return outcomes;
}

function report(outcomes: readonly Outcome[], seconds: number): boolean {
  const sum = (of: "passed" | "failed" | "skipped"): number => outcomes.reduce((total, one) => total + one[of], 0);
  const slowest = outcomes.toSorted((a, b) => b.seconds - a.seconds).slice(0, 10);
  const brief = ({ name, seconds }: Outcome): string =>
    `${name.slice(name.lastIndexOf("/") + 1)} ${seconds.toFixed(0)} s`;
  console.log(`slowest: ${slowest.map(brief).join(", ")}`);
  for (const { name } of outcomes.filter(({ failed }) => failed > 0)) console.log(`failed: ${name}`);
  console.log(`${outcomes.length} processes in ${seconds.toFixed(0)} s, ${sum("skipped")} tests skipped`);
  console.log(`${sum("passed")} passed, ${sum("failed")} failed`);
  return sum("failed") === 0;
}

async function main(words: readonly string[]): Promise<boolean> {
  const began = performance.now();
  const pure = words.includes("--pure"), at = words.indexOf("--jobs");
  const jobs = at < 0 ? navigator.hardwareConcurrency + (pure ? 0 : 1) : Number(words[at + 1]);
  const paths = words.filter((word, i) => word !== "--pure" && word !== "--jobs" && (at < 0 || i !== at + 1));
  const all = (paths.length > 0 ? paths : [TESTS.replace(/\/$/, "")]).flatMap((path) =>
    testFiles(Deno.realPathSync(path))
  );
  const files = longestFirst(pure ? all.filter((file) => isPure(file)) : all);
  const queue = batchesOf(files, jobs, pure);
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    // What is running fails by that, and is reported; nothing else is started.
    Deno.addSignalListener(signal, () => {
      queue.length = 0;
      for (const child of running) child.kill("SIGTERM");
    });
  }
  const image = Deno.makeTempDirSync({ prefix: "sauropod-test-image-" });
  try {
    if (!pure) makeBusybox(image);
    return report(await runAll(queue, jobs, image), (performance.now() - began) / 1000);
  } finally {
    Deno.removeSync(image, { recursive: true });
  }
}

Deno.exit(await main(Deno.args) ? 0 : 1);
