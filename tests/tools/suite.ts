/**
 * Runs test files side by side, each in a process, and namespaces, of its own: `suite.ts [--jobs N] [FILE or DIRECTORY…]`.
 *
 * What a file writes is shown when it ends, or as it comes with one job. The last line is `N passed, N failed`. A file that
 * takes too long is killed with all that it started, and counts as one failure.
 *
 * @module
 */

const TESTS = new URL("../", import.meta.url).pathname;
const APART = `${TESTS}tools/apart.sh`;
/** Seconds after which a file is killed. */
const PATIENCE = 900;

interface Outcome {
  readonly file: string;
  readonly passed: number;
  readonly failed: number;
  readonly ignored: number;
  readonly seconds: number;
}

function testFiles(path: string): string[] {
  if (!Deno.statSync(path).isDirectory) return [path];
  return [...Deno.readDirSync(path)].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return testFiles(`${path}/${name}`);
    return name.endsWith("_test.ts") ? [`${path}/${name}`] : [];
  });
}

/** Returns the files with the longest first, by their size: what is started last then ends soonest. */
function longestFirst(files: readonly string[]): string[] {
  const weight = new Map(
    files.map((file) => [file, (file.match(/v2|aarch64|chaos/) ? 1e6 : 0) + Deno.statSync(file).size]),
  );
  return files.toSorted((a, b) => (weight.get(b) ?? 0) - (weight.get(a) ?? 0));
}

function count(text: string, word: string): number {
  return Number(new RegExp(`(\\d+) ${word}`).exec(text)?.[1] ?? 0);
}

async function run(file: string): Promise<Outcome> {
  const began = performance.now();
  const { stdout, stderr, code } = await new Deno.Command("timeout", {
    args: ["--kill-after=10", String(PATIENCE), APART, Deno.execPath(), "test", "-A", "--no-check", "--quiet", file],
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  const seconds = (performance.now() - began) / 1000;
  const summary = /^(?:ok|FAILED) \| .*$/m.exec(text)?.[0] ?? "";
  const failed = count(summary, "failed") || (code === 0 ? 0 : 1);
  const why = code === 124 || code === 137 ? `, killed after ${PATIENCE} s` : "";
  console.log(`${text.trimEnd()}\n${file.replace(TESTS, "tests/")}: ${seconds.toFixed(1)} s${why}\n`);
  return { file, passed: count(summary, "passed"), failed, ignored: count(summary, "ignored"), seconds };
}

async function runAll(files: readonly string[], jobs: number): Promise<Outcome[]> {
  const queue = longestFirst(files), outcomes: Outcome[] = [];
  await Promise.all(Array.from({ length: jobs }, async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) outcomes.push(await run(file));
  }));
  return outcomes;
}

function sum(outcomes: readonly Outcome[], of: "passed" | "failed" | "ignored"): number {
  return outcomes.reduce((total, outcome) => total + outcome[of], 0);
}

const words = [...Deno.args];
const at = words.indexOf("--jobs");
const jobs = at < 0 ? navigator.hardwareConcurrency + 1 : Number(words.splice(at, 2)[1]);
const files = (words.length > 0 ? words : [TESTS.replace(/\/$/, "")]).flatMap((path) =>
  testFiles(Deno.realPathSync(path))
);
const began = performance.now();
const outcomes = await runAll(files, jobs);
const slowest = outcomes.toSorted((a, b) => b.seconds - a.seconds).slice(0, 10);
console.log(
  `slowest: ${
    slowest.map(({ file, seconds }) => `${file.slice(file.lastIndexOf("/") + 1)} ${seconds.toFixed(0)} s`).join(", ")
  }`,
);
for (const { file } of outcomes.filter(({ failed }) => failed > 0)) {
  console.log(`failed: ${file.replace(TESTS, "tests/")}`);
}
const ignored = sum(outcomes, "ignored");
console.log(`${outcomes.length} files in ${((performance.now() - began) / 1000).toFixed(0)} s`);
console.log(
  `${sum(outcomes, "passed")} passed, ${sum(outcomes, "failed")} failed${ignored > 0 ? `, ${ignored} skipped` : ""}`,
);
if (sum(outcomes, "failed") > 0) Deno.exit(1);
