/** Connecting with detached containers, at a terminal and without one. */

import assert from "node:assert/strict";
import { parseDetachKeys, untilTyped } from "../../../cli/terminal/detach_keys.ts";
import { assertApart, clear, inspect, lookApart, processesWith, until } from "../../helpers/life.ts";
import { hasPython, Terminal } from "../../helpers/terminal.ts";
import { commandLine } from "../../helpers/project.ts";
import { makeWorld, type World } from "../../helpers/world.ts";
import { skipWithout } from "../../helpers/skip.ts";

const ignore = skipWithout("python3", hasPython());

const NONE = ["--network", "none"];
// Says what it is told, byte by byte, and how large its terminal is.
const ECHO = `stty raw -echo; echo ready; while c=$(dd bs=1 count=1 2>/dev/null | od -An -tx1); do
  case $c in *71) exit 7;; *73) stty size;; *) echo "<$c>";; esac; done`;

async function withTerminal(
  words: readonly string[],
  work: (world: World, terminal: Terminal, modes: string, id: string) => Promise<void>,
): Promise<void> {
  await using world = makeWorld();
  const before = lookApart();
  const made = await world.cli(["create", "-it", "--name", "a", ...NONE, "busybox", "sh", "-c", ECHO]);
  assert.equal(made.code, 0, made.stderr);
  if (words[0] === "attach") assert.equal((await world.cli(["start", "a"])).code, 0);
  {
    const script = `stty -a >/dev/null; sleep 0.5; exec "$@"`;
    await using terminal = new Terminal(["sh", "-c", script, "sh", ...commandLine(words)], {
      env: { SAUROPOD_HOME: world.home },
    });
    const modes = await terminal.modes();
    await terminal.untilModes(modes, false);
    await work(world, terminal, modes, made.stdout.trim());
  }
  await clear(world);
  assertApart(before);
}

function onTerminal(name: string, words: readonly string[], work: Parameters<typeof withTerminal>[1]): void {
  Deno.test({ name, ignore, fn: () => withTerminal(words, work) });
}

onTerminal(
  "attach passes on what is typed and the terminal's size, and disconnects by control-P control-Q",
  ["attach", "a"],
  async (world, terminal, modes) => {
    await terminal.types("x\x03");
    await terminal.shows(/<\s*78>\s*<\s*03>/);
    await terminal.types("s");
    await terminal.shows(/30 100/);
    await terminal.resize(90, 20);
    await until("the size is passed on", async () => {
      await terminal.types("s");
      await new Promise((resolve) => setTimeout(resolve, 50));
      return /20 90/.test(terminal.screen);
    });
    await terminal.types("\x10y");
    await terminal.shows(/<\s*10>\s*<\s*79>/);
    await terminal.types("\x10\x11");
    await terminal.shows(/detached; the container is still running/);
    assert.equal(await terminal.ended(), 0);
    await terminal.untilModes(modes, true);
    assert.equal((await inspect(world, "a")).status, "running");
    assert.deepEqual(processesWith("sauropod-pump"), []);
  },
);

onTerminal(
  "attach: other keys disconnect if they are asked for, also from a container that was started so",
  ["start", "-ai", "--detach-keys", "ctrl-a,d", "a"],
  async (world, terminal, modes) => {
    await terminal.shows(/ready/);
    await terminal.types("\x10\x11\x01\x01x");
    await terminal.shows(/<\s*10>\s*<\s*11>\s*<\s*01>\s*<\s*01>\s*<\s*78>/);
    await terminal.types("\x01d");
    await terminal.shows(/detached; /);
    assert.equal(await terminal.ended(), 0);
    await terminal.untilModes(modes, true);
    assert.equal((await inspect(world, "a")).status, "running");
  },
);

onTerminal("attach ends with the container, and its exit code", ["attach", "a"], async (_, terminal, modes) => {
  await terminal.types("q");
  assert.equal(await terminal.ended(), 7);
  await terminal.untilModes(modes, true);
});

onTerminal("kill -9 of attach sets the terminal right again", ["attach", "a"], async (world, terminal, modes) => {
  await terminal.types("x");
  await terminal.shows(/<\s*78>/);
  await terminal.kill(9);
  assert.equal(await terminal.ended(), -9);
  await terminal.untilModes(modes, true);
  await until("the pump is gone", () => processesWith("sauropod-pump").length === 0);
  assert.equal((await inspect(world, "a")).status, "running");
});

Deno.test("attach: keys that disconnect are read as docker's, and others are refused before anything is started", async () => {
  assert.deepEqual(parseDetachKeys("ctrl-p,ctrl-q"), [16, 17]);
  assert.deepEqual(parseDetachKeys("a,ctrl-A,ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_"), [
    97,
    1,
    0,
    27,
    28,
    29,
    30,
    31,
  ]);
  assert.deepEqual(parseDetachKeys(""), []);
  for (const bad of ["ctrl-", "ab", "ctrl-1", ",", "a,", "alt-x"]) {
    assert.throws(() => parseDetachKeys(bad), { code: "bad-keys" }, bad);
  }
  await using world = makeWorld();
  assert.equal((await world.cli(["create", "--name", "a", ...NONE, "busybox", "true"])).code, 0);
  const { code, stderr } = await world.cli(["start", "-a", "--detach-keys", "ctrl-", "a"]);
  assert.deepEqual([code, /is not a key[^]*ctrl-a,d/.test(stderr)], [125, true], stderr);
  assert.equal((await inspect(world, "a")).status, "created");
});

Deno.test("attach: what is typed before the keys, and what only begins like them, is passed on", async () => {
  const type = async (keys: number[], ...chunks: string[]): Promise<[text: string, disconnected: boolean]> => {
    let disconnected = false;
    const source = ReadableStream.from(chunks.map((chunk) => new TextEncoder().encode(chunk)));
    const passed = source.pipeThrough(untilTyped(keys, () => disconnected = true)).pipeThrough(new TextDecoderStream());
    return [(await Array.fromAsync(passed)).join(""), disconnected];
  };
  const keys = [...new TextEncoder().encode("abc")];
  assert.deepEqual(await type(keys, "xab", "d", "aab"), ["xabda", false]);
  assert.deepEqual(await type(keys, "x", "ab", "c"), ["x", true]);
  assert.deepEqual(await type(keys, "ababc", "d"), ["ab", true]);
  assert.deepEqual(await type([], "ab\0c"), ["ab\0c", false]);
});

Deno.test("signals are passed on, or end only the attaching with --sig-proxy=false", async () => {
  await using world = makeWorld();
  const script = "trap 'exit 9' INT; while :; do echo tick; sleep 0.05; done";
  assert.equal((await world.cli(["run", "-d", "--name", "a", ...NONE, "busybox", "sh", "-c", script])).code, 0);
  const table: [string[], string][] = [
    [["--sig-proxy=false"], "running"],
    [["--no-sig-proxy"], "running"],
    [[], "exited"],
  ];
  for (const [flags, status] of table) {
    const child = world.start(["attach", ...flags, "a"]);
    const reader = child.stdout.getReader();
    assert.match(new TextDecoder().decode((await reader.read()).value), /tick/);
    child.kill("SIGINT");
    while (!(await reader.read()).done);
    await child.stderr.cancel();
    await child.status;
    assert.equal((await inspect(world, "a")).status, status, `${flags}`);
  }
  await clear(world);
});

Deno.test("start --attach shows what a command wrote and passes its exit code on, however soon it has ended", async () => {
  await using world = makeWorld();
  await Promise.all(Array.from({ length: 8 }, async (_, i) => {
    const pause = i % 2 === 0 ? "" : `sleep 0.0${i};`;
    const name = `n${i}`, script = `${pause} echo out; echo err >&2; exit 3`;
    await world.cli(["create", "--name", name, ...NONE, "busybox", "sh", "-c", script]);
    for (let round = 0; round < 3; round++) {
      assert.deepEqual(await world.cli(["start", "-a", name]), { code: 3, stdout: "out\n", stderr: "err\n" });
    }
  }));
  await clear(world);
});

Deno.test("what a container wrote that is removed at its end, and its exit code, are passed on by attach and start --attach", async () => {
  await using world = makeWorld();
  const run = await world.cli(["run", "-d", "--rm", "--name", "a", ...NONE, "busybox", "sh", "-c", "sleep 1; exit 7"]);
  assert.equal(run.code, 0, run.stderr);
  assert.equal((await world.cli(["attach", "a"])).code, 7);
  // One that ends at once is gone before it can be looked at.
  for (const [i, wait] of [0, 0, 0, 0, 0.3].entries()) {
    const name = `b${i}`, script = `echo ${name}; sleep ${wait}; exit ${8 + i}`;
    const made = await world.cli(["create", "--rm", "--name", name, ...NONE, "busybox", "sh", "-c", script]);
    assert.equal(made.code, 0, made.stderr);
    const { code, stdout, stderr } = await world.cli(["start", "--attach", name]);
    assert.deepEqual({ code, stdout, stderr }, { code: 8 + i, stdout: `${name}\n`, stderr: "" });
  }
});

Deno.test("start -ai passes on all that is piped to it, and its end; the next start has an input again", async () => {
  await using world = makeWorld();
  const before = lookApart();
  await world.cli(["create", "--interactive", "--name", "reader", ...NONE, "busybox", "sh", "-c", "wc -c; exit 3"]);
  for (const stdin of ["one line\n", "x".repeat(200_000), ""]) {
    const { code, stdout, stderr } = await world.cli(["start", "-ai", "reader"], { stdin });
    assert.deepEqual([code, stdout.trim(), stderr], [3, String(stdin.length), ""]);
  }
  await clear(world);
  assertApart(before);
});

Deno.test("what was started with -ai reads the end of its input when that command is killed", async () => {
  await using world = makeWorld();
  await world.cli([
    "create",
    "--interactive",
    "--name",
    "reader",
    ...NONE,
    "busybox",
    "sh",
    "-c",
    "echo up; cat; exit 5",
  ]);
  const starter = world.start(["start", "-ai", "reader"], { stdin: "" });
  await until("it runs", async () => (await world.cli(["logs", "reader"])).stdout === "up\n");
  starter.kill("SIGKILL");
  await starter.output();
  assert.equal((await world.cli(["wait", "reader"])).stdout, "5\n");
  await clear(world);
});
