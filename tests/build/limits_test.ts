/** Dockerfiles and patterns that were written to take for ever, or all memory. */

import assert from "node:assert/strict";
import { openAt } from "../../ffi/fs/fs.ts";
import { flags } from "../../ffi/program/flags.ts";
import { InputError } from "../../lib/errors.ts";
import { parseDockerfile } from "../../lib/build/dockerfile.ts";
import { evaluate } from "../../lib/build/evaluate.ts";
import { globalArgs } from "../../lib/build/variables.ts";
import { findSources } from "../../lib/build/origin.ts";
import { matcherOf, NOTHING_IGNORED, readIgnored } from "../../lib/build/pattern.ts";
import { planBuild } from "../../lib/build/plan.ts";
import { MAX_LAYERS } from "../../lib/oci.ts";
import { build, context } from "../helpers/building.ts";
import { makeWorld } from "../helpers/world.ts";

const GIVEN = { buildArgs: {}, automatic: {} };

function evaluated(text: string) {
  const dockerfile = parseDockerfile("D", text), stage = dockerfile.stages.at(-1);
  assert.ok(stage);
  return evaluate(stage, {}, {}, globalArgs(dockerfile, GIVEN), GIVEN, dockerfile.escape);
}

/** Runs `work`, which may take seconds on a busy machine, and not minutes. */
function soon<T>(what: string, work: () => T): T {
  const since = performance.now();
  const result = work();
  const took = performance.now() - since;
  assert.ok(took < 10_000, `${what} took ${took} ms`);
  return result;
}

function times(count: number, line: (i: number) => string): string {
  return Array.from({ length: count }, (_, i) => line(i)).join("");
}

/** Numbers that look like chance, the same for the same seed. */
function chance(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor(state / 2 ** 32 * below);
  };
}

/** What a pattern of letters, `*`, `?` and `**` means, as plainly as can be; names are short. */
function naive(pattern: string, name: string, deep: boolean): boolean {
  if (pattern === "") return name === "";
  const rests = Array.from({ length: name.length + 1 }, (_, i) => i);
  if (deep && pattern.startsWith("**")) {
    const rest = pattern.slice(pattern.startsWith("**/") ? 3 : 2);
    if (pattern === "**") return true;
    return naive(rest, name, deep) || rests.some((i) => name[i - 1] === "/" && naive(rest, name.slice(i), deep));
  }
  if (pattern.startsWith("*")) {
    return rests.some((i) => !name.slice(0, i).includes("/") && naive(pattern.slice(1), name.slice(i), deep));
  }
  if (name === "" || pattern[0] === "?" && name[0] === "/") return false;
  return (pattern[0] === "?" || pattern[0] === name[0]) && naive(pattern.slice(1), name.slice(1), deep);
}

Deno.test("build: patterns match what a plain reading of them does, short ones and long ones", () => {
  const random = chance(19), pieces = ["a", "b", "*", "?", "*", "a"], deepPieces = [...pieces, "**/", "/", "**"];
  const word = (from: readonly string[], most: number): string =>
    Array.from({ length: random(most) }, () => from[random(from.length)]).join("");
  let hits = 0;
  for (let i = 0; i < 6000; i++) {
    // What is longer than a number has bits is matched in another way.
    const long = random(2) === 0 ? "c".repeat(35) : "";
    const pattern = word(pieces, 7) + long, name = word(["a", "b"], 7) + long;
    const expected = naive(pattern, name, false);
    assert.equal(matcherOf(pattern)(name), expected, `${pattern} ${name}`);
    if (expected) hits++;
    const rule = `x${word(deepPieces, 6)}${long}y`, path = `x${word(["a", "b", "/"], 6)}${long}y`;
    if (rule.includes("//") || path.includes("//") || rule.includes("**/**")) continue;
    assert.equal(readIgnored(rule).has(path), naive(rule, path, true), `${rule} ${path}`);
  }
  assert.ok(hits > 300, `${hits} matched`);
});

Deno.test("images build with patterns of many stars ends at once, in .dockerignore and in COPY", async () => {
  await using world = makeWorld();
  const stars = "*a".repeat(30) + "b", name = "a".repeat(100);
  const folder = context(world, {
    [name]: "",
    ".dockerignore": `${stars}\n**/${stars}\n${"**/".repeat(20)}*a*ab\n`,
    "[x]": "",
  });
  for (const [source, code, said] of [[name, 0, /^\[/m], [stars, 2, /nothing in the context is called/]] as const) {
    Deno.writeTextFileSync(`${folder}/Dockerfile`, `FROM scratch\nCOPY ${source} /\n`);
    const since = performance.now(), result = await build(world, "--network", "none", folder);
    assert.equal(result.code === 0, code === 0, result.stderr);
    assert.match(result.stderr, said);
    assert.ok(performance.now() - since < 20_000);
  }
});

Deno.test("build: patterns take time by their length and the name's alone", () => {
  const long = "a/".repeat(2000);
  soon("stars", () => assert.equal(matcherOf("*a".repeat(2000) + "b")("a".repeat(4000)), false));
  soon("more stars than the name is long", () => assert.equal(matcherOf("*a".repeat(400_000))("a".repeat(255)), false));
  soon("folders", () => assert.equal(readIgnored("**/a/".repeat(1000) + "b").has(`${long}c`), false));
  soon("stars in folders", () => assert.equal(readIgnored("**/*a*/".repeat(9) + "b").has(`${long}c`), false));
  soon("a class", () => assert.equal(matcherOf(`[${"a-b".repeat(100_000)}]`)("c"), false));
});

Deno.test("build: looking for what a pattern names can be ended at any time", async () => {
  const folder = await Deno.makeTempDir({ prefix: "sauropod-pattern-" });
  try {
    for (let i = 0; i < 3000; i++) Deno.writeTextFileSync(`${folder}/${"a".repeat(100)}${i}`, "");
    const top = openAt(-100, folder, flags("O", "PATH", "DIRECTORY"));
    const origin = { top, name: "the context", ignored: NOTHING_IGNORED, isContext: true };
    const patterns = Array.from({ length: 1000 }, () => "*a".repeat(40) + "b"), since = performance.now();
    const looking = findSources({ file: "D", line: 1 }, origin, patterns, AbortSignal.timeout(200));
    await assert.rejects(looking, { name: "TimeoutError" });
    assert.ok(performance.now() - since < 5000);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("TERM ends an images build that leaves out thousands of files by thousands of patterns", async () => {
  await using world = makeWorld();
  const rules = Array.from({ length: 20_000 }, (_, i) => `**/*a?b${i}`).join("\n");
  const folder = context(world, {
    Dockerfile: "FROM scratch\nCOPY . /\n",
    ".dockerignore": `**/z*\n${rules}\n`,
    "d/": "",
  });
  for (let i = 0; i < 3000; i++) Deno.writeTextFileSync(`${folder}/d/z${"a".repeat(50)}${i}`, "");
  const child = world.start(["images", "build", "--network", "none", folder]);
  await new Promise((resolve) => setTimeout(resolve, 4000));
  child.kill("SIGTERM");
  const since = performance.now(), { code, stderr } = await child.output();
  assert.notEqual(code, 0);
  assert.match(new TextDecoder().decode(stderr), /interrupted/);
  assert.ok(performance.now() - since < 5000, `it took ${performance.now() - since} ms`);
});

Deno.test("build: Dockerfiles of a megabyte are read and evaluated in time that grows with them", () => {
  const texts: Record<string, string> = {
    "continued lines": `RUN x \\\n${"  && y \\\n".repeat(40_000)} z`,
    "a line": `RUN ${"x".repeat(1 << 19)}`,
    "blanks": `RUN a${" ".repeat(1 << 19)}x`,
    "instructions": "EXPOSE 80\n".repeat(100_000),
    "variables": times(60_000, (i) => `ENV a${i}=1\n`),
    "labels": times(60_000, (i) => `LABEL a${i}=1\n`),
    "variables and commands": times(40_000, (i) => `ENV a${i}=1\nRUN x\n`),
    "words": `COPY ${"a ".repeat(400_000)}b/`,
    "pairs": `ENV ${"a=1 ".repeat(200_000)}`,
    "uses of a variable": `ENV A=1\nENV B=${"$A".repeat(400_000)}`,
    "here-documents": `RUN ${times(30_000, (i) => `<<E${i} `)}\n${times(30_000, (i) => `E${i}\n`)}`,
    "a here-document": `COPY <<E /x\n${"x\n".repeat(300_000)}E`,
    "brackets": `RUN ${"[".repeat(1 << 19)}`,
  };
  for (const [what, text] of Object.entries(texts)) soon(what, () => evaluated(`FROM a\n${text}\n`));
  const last = evaluated(`FROM a\nARG X=0\n${times(50, (i) => `ENV a${i}=$X\nRUN x\n`)}`).tasks.at(-1)?.action;
  assert.equal(last?.kind === "run" && Object.keys(last.env).length, 51);
});

Deno.test("build: what a Dockerfile lets grow without end is refused by name, with its line", () => {
  const nested = "${A:-".repeat(100_000), doubled = "ARG A=$A$A\n".repeat(100);
  const cases: [string, RegExp][] = [
    [`FROM a\nENV X=${nested}${"}".repeat(100_000)}`, /^D:2: variables in .{101} are nested more than 100 deep$/],
    [`FROM a\nENV X=${nested}`, /^D:2: variables in .* are nested more than 100 deep$/],
    [
      `FROM a\nARG A=0123456789\n${doubled}`,
      /^D:19: \$A\$A becomes longer than 1 MiB when its variables are replaced$/,
    ],
    [`ARG A=0123456789\n${doubled}FROM $A`, /^D:18: \$A\$A becomes longer than 1 MiB/],
    [`FROM a\nENV A=0123456789\n${'ENV A="$A$A"\n'.repeat(100)}`, /^D:19: "\$A\$A" becomes longer than 1 MiB/],
    [`FROM a\nENV A=${"x".repeat(600_000)}\nCOPY <<E /x\n$A$A\nE`, /^D:3: \$A\$A\n becomes longer than 1 MiB/],
    [
      `FROM a\nENV A=${"x".repeat(600_000)}\n${times(50, (i) => `ENV B${i}=$A\n`)}`,
      /^D:\d: variables and history exceed 4 MiB/,
    ],
    [`FROM a\n${times(20_000, (i) => `ARG a${i}=1\nRUN x\n`)}`, /^D:\d+: variables and history exceed 4 MiB/],
    [`FROM a\n${"WORKDIR a\n".repeat(50_000)}`, /^D:\d+: variables and history exceed 4 MiB/],
    [`FROM a\n${"EXPOSE 1-65535\n".repeat(20)}`, /^D:\d+: variables and history exceed 4 MiB/],
    [`FROM a\nEXPOSE ${"1-65535 ".repeat(100_000)}`, /^D:2: EXPOSE names more than 65535 ports$/],
    [times(2000, (i) => `FROM a AS b${i}\n`), /^D:1001: there are more than 1000 stages$/],
    [`FROM a\nENV A="${"x".repeat(100_000)}`, /^D:2: there is a " missing in .{101}$/],
    [`FROM a\nCOPY <<E /x\n\${X:?no}\nE`, /^D:2: \$X is not set: no$/],
  ];
  for (const [text, said] of cases) {
    const error = soon(text.slice(0, 80), () => {
      try {
        return evaluated(text), undefined;
      } catch (error) {
        return error;
      }
    });
    assert.ok(error instanceof InputError, `${text.slice(0, 80)}: ${error}`);
    assert.match(error.message, said, text.slice(0, 80));
  }
  // What is nested less deep, as people write it, is read.
  assert.deepEqual(evaluated("FROM a\nENV X=${A:-${B:-${C:-d}}}").settings, { Env: ["X=d"] });
});

Deno.test("a build whose image would have more than 500 layers is refused before its first step", async () => {
  const plan = (below: number, count: number) =>
    planBuild(
      parseDockerfile(
        "D",
        `FROM a\n${"RUN x\n".repeat(count - 1)}WORKDIR /\nENV A=1\nCOPY a b\n`,
      ),
      { buildArgs: {} },
      () => Promise.resolve({ config: {}, layers: () => Promise.resolve([]), layerCount: below }),
    );
  assert.equal((await plan(10, MAX_LAYERS - 10))[0]?.layerCount, MAX_LAYERS);
  await assert.rejects(plan(10, MAX_LAYERS - 9), {
    code: "bad-dockerfile",
    message: /^D:494: the image would have more than 500 layers$/,
  });
});
