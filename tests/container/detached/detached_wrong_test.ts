/** Containers in a state that a command does not expect, and starts that fail. */

import assert from "node:assert/strict";
import { create } from "../../../mod.ts";
import {
  assertApart,
  assertNothingLeft,
  clear,
  cli,
  inspect,
  leftIn,
  lookApart,
  monitorsOf,
  stateOf,
  until,
} from "../../helpers/life.ts";
import { makeWorld, type World } from "../../helpers/world.ts";

const NONE = ["--network", "none"];

async function untilEnded(world: World, id: string): Promise<void> {
  await until("ended", () => stateOf(world, id).status === "exited" && monitorsOf(world, id).length === 0);
}

Deno.test("start: every command says what is wrong with the state of a container, and ends with docker's code", async () => {
  await using world = makeWorld();
  const running = await cli(world, "run", "-d", ...NONE, "--name", "running", "busybox", "sleep", "1000");
  const made = await cli(world, "create", ...NONE, "--name", "made", "busybox", "sh", "-c", "exit 7");
  const gone = await cli(world, "run", "-d", ...NONE, "--name", "gone", "busybox", "true");
  await untilEnded(world, gone);
  const wrong: [words: string[], code: number, message: RegExp][] = [
    [["start", "running"], 125, new RegExp(`cannot start container ${running}: it is running\n.*restart`)],
    [["rm", "running"], 1, /is running\n.*--force/],
    [["exec", "made", "true"], 125, /is not running: it is created/],
    [["exec", "gone", "true"], 125, /is not running: it is exited/],
    [["kill", "made"], 125, /is not running: it is created/],
    [["kill", "gone"], 125, /is not running: it is exited/],
    [["kill", "-s", "NONSENSE", "running"], 125, /NONSENSE/],
    [["stop", "-s", "NONSENSE", "running"], 125, /NONSENSE/],
    [["wait", "made"], 125, /has never been started\n.*start/],
    [["rename", "made", "running"], 125, new RegExp(`name running is already in use by container ${running}`)],
    [["rename", "made", "no/name"], 125, /invalid container name/],
    [
      ["run", "-d", ...NONE, "--name", "made", "busybox", "true"],
      125,
      new RegExp(`already in use by container ${made}`),
    ],
    [["create", "--name", "made", "busybox", "true"], 125, /name made is already in use/],
    [["run", "-d", "--rm", "--restart", "always", "busybox", "true"], 125, /--rm and --restart cannot be combined/],
    [
      ["run", "-d", "--restart", "sometimes", "busybox", "true"],
      125,
      /invalid restart policy "sometimes"\n.*on-failure:3/,
    ],
    [["run", "-d", "--restart", "on-failure:x", "busybox", "true"], 125, /invalid restart policy "on-failure:x"/],
    [["run", "--restart", "always", "busybox", "true"], 125, /--detach/],
    [["run", "-d", "--log-driver", "journald", "busybox", "true"], 125, /invalid --log-driver "journald"\n.*none/],
    [["run", "-d", "--log-opt", "max-size=big", "busybox", "true"], 125, /big/],
    [["run", "-d", "--log-opt", "colour=red", "busybox", "true"], 125, /invalid --log-opt "colour=red"/],
    ...["start", "stop", "kill", "wait", "restart", "inspect"].flatMap((command): [string[], number, RegExp][] => [
      [[command, "missing"], 125, /no such container: missing/],
    ]),
    [["rm", "missing"], 1, /no such container: missing/],
    [["rm", "-f", "missing"], 0, /no such container: missing/],
    [["rm", "missing", "-f", "also-missing"], 0, /no such container: missing[^]*no such container: also-missing/],
    [["exec", "missing", "true"], 125, /no such container: missing/],
    [["rename", "missing", "x"], 125, /no such container: missing/],
    [["stop", "running", "missing"], 1, /no such container: missing/],
  ];
  for (const [words, code, message] of wrong) {
    const result = await world.cli(words);
    assert.match(result.stderr, message, words.join(" "));
    assert.equal(result.code, code, words.join(" "));
    assert.doesNotMatch(result.stderr, /\n\s+at |\.ts:/, "no stack");
  }
  // One of the last words was good.
  assert.equal((await inspect(world, "running")).status, "exited");
  assert.deepEqual((await cli(world, "ps", "-aq")).split("\n").sort(), [running, made, gone].sort());
  await clear(world);
});

Deno.test("start: commands that have nothing to do are content", async () => {
  await using world = makeWorld();
  const id = await cli(world, "run", "-d", ...NONE, "--name", "box", "busybox", "sh", "-c", "exit 3");
  await untilEnded(world, id);
  assert.equal(await cli(world, "stop", "box"), "box");
  assert.equal(await cli(world, "wait", id.slice(0, 8)), "3");
  assert.equal(await cli(world, "rename", "box", "other"), "");
  assert.equal(await cli(world, "restart", "other"), "other");
  assert.equal(await cli(world, "wait", "other"), "3");
  assert.equal(stateOf(world, id).restarts, 0);
  assert.equal(await cli(world, "rm", "-f", "other"), "other");
  assertNothingLeft(world);
});

Deno.test("start: the beginning of an id must be that of one container only", async () => {
  await using world = makeWorld();
  const { containers } = world.folders;
  const options = { ...world.folders, network: "none" };
  const ids: string[] = [];
  // Sooner or later two ids begin alike.
  while (new Set(ids.map((id) => id[0])).size === ids.length) ids.push(await create("busybox", ["true"], options));
  const digit = ids.map((id) => id[0] ?? "").find((first, i, all) => all.indexOf(first) !== i) ?? "";
  const { code, stderr } = await world.cli(["start", digit]);
  assert.deepEqual([code, /is a prefix of 2 ids/.test(stderr)], [125, true], stderr);
  assert.equal([...Deno.readDirSync(`${containers}/.live`)].length, 0);
  await clear(world);
});

Deno.test("a container whose image is gone says so, and starts again when it is back", async () => {
  await using world = makeWorld({ ownImage: true });
  const id = await cli(world, "run", "-d", ...NONE, "busybox", "sh", "-c", "exit 4");
  await untilEnded(world, id);
  Deno.renameSync(`${world.home}/images/busybox`, `${world.home}/away`);
  const before = Deno.readTextFileSync(`${world.folders.containers}/${id}/state`);
  const { code, stderr } = await world.cli(["start", id]);
  assert.equal(code, 125);
  assert.match(stderr, /image busybox of container \w+ not found: no such directory: .*\/busybox\n/);
  assert.equal(Deno.readTextFileSync(`${world.folders.containers}/${id}/state`), before);
  Deno.renameSync(`${world.home}/away`, `${world.home}/images/busybox`);
  await cli(world, "start", id);
  assert.equal(await cli(world, "wait", id), "4");
  await clear(world);
});

Deno.test("a start that fails leaves the container as it was, and no monitor", async () => {
  await using world = makeWorld({ ownImage: true });
  Deno.mkdirSync(`${world.home}/source`);
  const source = `${world.home}/source`;
  const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr as Deno.NetAddr;
  taken.close();
  const cases: [options: string[], spoil: () => Disposable | void, code: number, message: RegExp][] = [
    [[...NONE, "-v", `${source}:/source`], () => Deno.removeSync(source), 125, /cannot mount .*\/source: no such file/],
    [
      ["-p", `127.0.0.1:${port}:80`],
      () => {
        const listener = Deno.listen({ hostname: "127.0.0.1", port });
        return { [Symbol.dispose]: () => listener.close() };
      },
      125,
      new RegExp(`${port}`),
    ],
    [
      NONE,
      () => Deno.renameSync(`${world.home}/images/busybox/bin/sh`, `${world.home}/images/busybox/bin/shell`),
      127,
      /command not found in the container: sh/,
    ],
    [[...NONE, "--init"], () => {}, 127, /command not found in the container: sh/],
  ];
  const before = lookApart();
  const ids: string[] = [];
  for (const [options] of cases.slice(0, 3)) {
    const id = await cli(world, "run", "-d", ...options, "busybox", "sh", "-c", "exit 6");
    await untilEnded(world, id);
    ids.push(id);
  }
  const fresh = await cli(world, "create", ...NONE, "--init", "busybox", "sh", "-c", "exit 6");
  const folder = world.folders.containers;
  for (const [i, id] of [...ids, fresh].entries()) {
    const [, spoil, wanted, message] = cases[i] ?? assert.fail();
    const state = Deno.readTextFileSync(`${folder}/${id}/state`);
    using _ = spoil() ?? { [Symbol.dispose]: () => {} };
    const { code, stdout, stderr } = await world.cli(["start", id]);
    assert.deepEqual([code, stdout], [wanted, ""], stderr);
    assert.match(stderr, message);
    assert.equal(Deno.readTextFileSync(`${folder}/${id}/state`), state);
    const { status, ended } = await inspect(world, id);
    assert.deepEqual([status, ended?.code], id === fresh ? ["created", undefined] : ["exited", 6]);
    assert.deepEqual(monitorsOf(world), []);
  }
  assert(!leftIn(world).some((path) => path.startsWith(".live/")));
  assertApart(before);
  Deno.renameSync(`${world.home}/images/busybox/bin/shell`, `${world.home}/images/busybox/bin/sh`);
  await cli(world, "start", fresh);
  assert.equal(await cli(world, "wait", fresh), "6");
  await clear(world);
});

Deno.test("a run -d that fails leaves nothing at all", async () => {
  await using world = makeWorld();
  await cli(world, "run", "--rm", ...NONE, "busybox", "true");
  const before = lookApart();
  const wrong: [options: string[], command: string, code: number][] = [
    [[], "missing", 127],
    [["--init"], "missing", 127],
    [["-m", "64m"], "missing", 127],
    [["--rm", "--init", "-m", "64m", "--name", "x"], "/etc/passwd", 126],
    [["-t"], "missing", 127],
    [["--restart", "always"], "missing", 127],
    [["-w", "/etc/passwd"], "true", 125],
  ];
  await Promise.all(wrong.map(async ([options, command, wanted]) => {
    const { code, stdout, stderr } = await world.cli(["run", "-d", ...NONE, ...options, "busybox", command]);
    assert.deepEqual([code, stdout], [wanted, ""], stderr);
  }));
  assertNothingLeft(world);
  assertApart(before);
});
