/** Values of environment variables are often secrets: errors, explain and ps tell names only. */

import assert from "node:assert/strict";
import { exec, output, run, type RunOptions } from "../../mod.ts";
import { converse } from "../helpers/inside.ts";
import { makeWorld } from "../helpers/world.ts";

const world = makeWorld();
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

const SECRET = "hunter2", env = { DB_PASSWORD: SECRET, OTHER: `${SECRET}=${SECRET}` };
const APART: RunOptions = { ...world.folders, network: "none" };

/** All that `console.log(error)` and an uncaught error can show, and what programs find in it. */
function everything(error: unknown): string {
  return [Deno.inspect(error, { depth: 99, strAbbreviateSize: 1e6 }), String(error), JSON.stringify(error)].join("\n") +
    (error instanceof Error ? `${error.stack}${error.cause === undefined ? "" : everything(error.cause)}` : "");
}

async function thrown(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
  } catch (error) {
    return everything(error);
  }
  assert.fail("it did not fail");
}

Deno.test("run, exec and prepare with a secret in env show it in no error, whatever fails", async () => {
  await using talk = await converse(world, "echo ready; read line", { network: "none", name: "web" });
  await talk.ask();
  const nul = { DB_PASSWORD: `${SECRET}\0x` };
  const failures: [what: string, work: () => Promise<unknown>][] = [
    ["a command that is not there", () => output("busybox", ["nothing"], { ...APART, env })],
    ["a path that is not there", () => output("busybox", ["/nothing"], { ...APART, env })],
    ["a file that is no program", () => output("busybox", ["/etc/passwd"], { ...APART, env })],
    ["a mount that fails", () => output("busybox", ["true"], { ...APART, env, volumes: ["/etc/passwd:/bin"] })],
    ["too much of it", () => output("busybox", ["true"], { ...APART, env: { ...env, BIG: "x".repeat(200_000) } })],
    ["a NUL", () => run("busybox", ["true"], { ...APART, env: nul })],
    ["a bad name", () => run("busybox", ["true"], { ...APART, env: { [`A=${SECRET}`]: "" } })],
    ["exec of what is not there", () => exec("web", ["/nothing"], { ...world.folders, env })],
    ["exec with a NUL", () => exec("web", ["true"], { ...world.folders, env: nul })],
  ];
  for (const [what, work] of failures) {
    const text = await thrown(work);
    assert.doesNotMatch(text, new RegExp(SECRET), what);
  }
  assert.match(
    await thrown(() => run("busybox", ["true"], { ...APART, env: nul })),
    /invalid .*"?DB_PASSWORD"?: NUL character/,
  );
});

Deno.test("run -d, exec, -e, --env-file and --build-arg with a mistake show no secret", async () => {
  Deno.writeTextFileSync(`${world.home}/rest`, `DB_PASSWORD="first\n${SECRET} rest of it"\n`);
  Deno.writeTextFileSync(`${world.home}/yaml`, `A=1\nDB_PASSWORD: ${SECRET}\n`);
  Deno.writeTextFileSync(`${world.home}/export`, `export DB_PASSWORD=${SECRET}\n`);
  Deno.mkdirSync(`${world.home}/context`);
  Deno.writeTextFileSync(`${world.home}/context/Dockerfile`, `FROM busybox\nENV DB_PASSWORD=first ${SECRET}\n`);
  const variable = ["-e", `DB_PASSWORD=${SECRET}`], none = ["--network", "none"];
  const commands: [words: string[], says: RegExp][] = [
    [["run", ...none, ...variable, "busybox", "nothing"], /command not found/],
    [["run", "-d", ...none, ...variable, "busybox", "/nothing"], /nothing/],
    [["run", "-e", `=${SECRET}`, "busybox", "true"], /invalid variable "…"/],
    [["run", "-e", `DB PASSWORD=${SECRET}`, "busybox", "true"], /invalid variable "DB…"/],
    [["run", "-e", `DB_PASSWORD: ${SECRET}`, "busybox", "true"], /invalid variable "DB_PASSWORD:…"/],
    [["run", "--env-file", "rest", "busybox", "true"], /--env-file rest: invalid line 2: expected NAME=VALUE/],
    [["run", "--env-file", "yaml", "busybox", "true"], /--env-file yaml: invalid line 2: expected NAME=VALUE/],
    [["run", "--env-file", "export", "busybox", "true"], /--env-file export: invalid line 1: expected NAME=VALUE/],
    [["build", "--build-arg", `a b=${SECRET}`, "context"], /invalid --build-arg "a…": expected NAME=VALUE/],
    [["build", "context"], /ENV has a word that is not NAME=VALUE/],
  ];
  for (const [words, says] of commands) {
    const { code, stdout, stderr } = await world.cli(words);
    assert.notEqual(code, 0, words.join(" "));
    assert.match(stderr, says);
    assert.doesNotMatch(stdout + stderr, new RegExp(SECRET), words.join(" "));
  }
});

Deno.test("explain, ps and events name variables without their values; --show-env and inspect show them", async () => {
  const none = ["--network", "none"], variable = ["-e", `DB_PASSWORD=${SECRET}`];
  assert.equal((await world.cli(["run", ...none, ...variable, "--name", "done", "busybox", "true"])).code, 0);
  for (
    const words of [
      ["explain", ...none, ...variable, "busybox", "true"],
      ["explain", "--init", ...none, ...variable, "busybox", "true"],
      ["explain", "--json", ...none, ...variable, "busybox", "true"],
      ["ps", "-a", "--json"],
      ["ps", "-a", "--format", "json"],
      ["ps", "-a", "--format", "{{json .}}"],
      ["ps", "-a", "--no-trunc"],
      ["events", "--json", "--since", "1h", "--until", "0s"],
    ]
  ) {
    const { code, stdout } = await world.cli(words);
    assert.equal(code, 0, words.join(" "));
    assert.doesNotMatch(stdout, new RegExp(SECRET), words.join(" "));
    if (words[0] === "explain" || /json/.test(words.join()) && words[0] === "ps") assert.match(stdout, /DB_PASSWORD/);
  }
  for (
    const words of [
      ["explain", "--show-env", ...none, ...variable, "busybox", "true"],
      ["explain", "--show-env", "--json", ...none, ...variable, "busybox", "true"],
      ["inspect", "done"],
    ]
  ) assert.match((await world.cli(words)).stdout, new RegExp(SECRET), words.join(" "));
});
