/** Containers in a state that a command does not expect, commands that compete for one, and starts that fail. */

import assert from "node:assert/strict";
import { flags } from "../ffi/flags.ts";
import { AT_FDCWD, close, lock, openAt } from "../ffi/fs.ts";
import { writeWithName } from "../lib/container/names.ts";
import { readRecord } from "../lib/container/record.ts";
import { create, rename, runDetached, start, wait } from "../mod.ts";
import {
  assertApart,
  assertNothingLeft,
  clear,
  inspect,
  leftIn,
  logged,
  lookApart,
  monitorsOf,
  processesWith,
  stateOf,
  until,
} from "./helpers/life.ts";
import { commandLine, makeWorld, PROJECT, type World } from "./helpers/world.ts";

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const NONE = ["--network", "none"];

async function cli(world: World, ...words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await world.cli(words);
  assert.deepEqual([code, stderr], [0, ""], words.join(" "));
  return stdout.trimEnd();
}

let next = 300_000 + Deno.pid;
function marker(): string {
  return String(next++);
}

async function untilEnded(world: World, id: string): Promise<void> {
  await until("ended", () => stateOf(world, id).status === "exited" && monitorsOf(world, id).length === 0);
}

Deno.test("every command says what is wrong with the state of a container, and ends with docker's code", async () => {
  await using world = makeWorld();
  const running = await cli(world, "run", "-d", ...NONE, "--name", "running", "busybox", "sleep", "1000");
  const made = await cli(world, "create", ...NONE, "--name", "made", "busybox", "sh", "-c", "exit 7");
  const gone = await cli(world, "run", "-d", ...NONE, "--name", "gone", "busybox", "true");
  await untilEnded(world, gone);
  const wrong: [words: string[], code: number, message: RegExp][] = [
    [["start", "running"], 125, new RegExp(`container ${running} cannot be started: it is running\n.*restart`)],
    [["rm", "running"], 1, /is running\n.*--force/],
    [["exec", "made", "true"], 125, /is not running: it is created/],
    [["exec", "gone", "true"], 125, /is not running: it is exited/],
    [["kill", "made"], 125, /is not running: it is created/],
    [["kill", "gone"], 125, /is not running: it is exited/],
    [["kill", "-s", "NONSENSE", "running"], 125, /NONSENSE/],
    [["stop", "-s", "NONSENSE", "running"], 125, /NONSENSE/],
    [["wait", "made"], 125, /has never been started\n.*start/],
    [["rename", "made", "running"], 125, new RegExp(`the name running is taken by container ${running}`)],
    [["rename", "made", "no/name"], 125, /is not a container name/],
    [["run", "-d", ...NONE, "--name", "made", "busybox", "true"], 125, new RegExp(`taken by container ${made}`)],
    [["create", "--name", "made", "busybox", "true"], 125, /the name made is taken/],
    [["run", "-d", "--rm", "--restart", "always", "busybox", "true"], 125, /leave out --rm or --restart/],
    [["run", "-d", "--restart", "sometimes", "busybox", "true"], 125, /says not when.*\n.*on-failure:3/],
    [["run", "-d", "--restart", "on-failure:x", "busybox", "true"], 125, /says not when/],
    [["run", "--restart", "always", "busybox", "true"], 125, /--detach/],
    [["run", "-d", "--log-driver", "journald", "busybox", "true"], 125, /no log driver "journald"\n.*none/],
    [["run", "-d", "--log-opt", "max-size=big", "busybox", "true"], 125, /big/],
    [["run", "-d", "--log-opt", "colour=red", "busybox", "true"], 125, /colour=red is not known/],
    ...["start", "stop", "kill", "wait", "restart", "inspect"].flatMap((command): [string[], number, RegExp][] => [
      [[command, "missing"], 125, /there is no container missing/],
    ]),
    [["rm", "missing"], 1, /there is no container missing/],
    [["rm", "-f", "missing"], 0, /there is no container missing/],
    [["rm", "missing", "-f", "also-missing"], 0, /no container missing[^]*no container also-missing/],
    [["exec", "missing", "true"], 125, /there is no container missing/],
    [["rename", "missing", "x"], 125, /there is no container missing/],
    [["stop", "running", "missing"], 1, /there is no container missing/],
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

Deno.test("commands that have nothing to do are content", async () => {
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

Deno.test("the beginning of an id must be that of one container only", async () => {
  await using world = makeWorld();
  const { containers } = world.folders;
  const options = { ...world.folders, network: "none" };
  const ids: string[] = [];
  // Sooner or later two ids begin alike.
  while (new Set(ids.map((id) => id[0])).size === ids.length) ids.push(await create("busybox", ["true"], options));
  const digit = ids.map((id) => id[0] ?? "").find((first, i, all) => all.indexOf(first) !== i) ?? "";
  const { code, stderr } = await world.cli(["start", digit]);
  assert.deepEqual([code, /is the beginning of 2 containers' ids/.test(stderr)], [125, true], stderr);
  assert.equal([...Deno.readDirSync(`${containers}/.live`)].length, 0);
  await clear(world);
});

Deno.test("stop asks first and kills later; a signal can be chosen", async () => {
  await using world = makeWorld();
  const script = (signal: string): string =>
    `trap 'echo got ${signal}; exit 9' ${signal}; trap : ${signal === "TERM" ? "USR1" : "TERM"}; echo ready; ` +
    "while :; do sleep 0.02; done";
  const box = (...words: string[]): Promise<string> =>
    cli(world, "run", "-d", ...NONE, "busybox", "sh", "-c", ...words);
  const [polite, other, deaf] = await Promise.all([box(script("TERM")), box(script("USR1")), box(script("USR1"))]);
  const ready = (id: string): boolean => text(logged(world, id, "stdout")).startsWith("ready");
  await until("ready", () => [polite, other, deaf].every(ready));
  await Promise.all([
    cli(world, "stop", polite),
    cli(world, "stop", "-s", "SIGUSR1", other),
    cli(world, "stop", "-t", "1", deaf),
  ]);
  assert.deepEqual([polite, other, deaf].map((id) => stateOf(world, id).code), [9, 9, 137]);
  assert.match(text(logged(world, polite, "stdout")), /got TERM\n$/);
  await clear(world);
});

Deno.test("of five that start one container at once, one does", async () => {
  await using world = makeWorld();
  const ready = await cli(world, "create", ...NONE, "busybox", "sh", "-c", "echo run; sleep 1000");
  const lost = await cli(world, "run", "-d", ...NONE, "-m", "64m", "busybox", "sh", "-c", "echo run; sleep 1000");
  await until("run", () => text(logged(world, lost, "stdout")) === "run\n");
  monitorsOf(world, lost).forEach((pid) => Deno.kill(pid, "SIGKILL"));
  await until("gone", () => monitorsOf(world).length === 0);
  for (const [id, runs] of [[ready, 1], [lost, 2]] as const) {
    const results = await Promise.all(Array.from({ length: 5 }, () => world.cli(["start", id])));
    assert.deepEqual(results.map(({ code }) => code).sort(), [0, 125, 125, 125, 125]);
    for (const { code, stderr } of results) {
      if (code) assert.match(stderr, /cannot be started: (it is running|another command is starting)/);
    }
    await until("run", () => text(logged(world, id, "stdout")) === "run\n".repeat(runs));
    assert.equal((await inspect(world, id)).status, "running", "none has undone what another did");
    assert.equal(monitorsOf(world, id).length, 1);
  }
  await clear(world);
});

Deno.test("start, stop, rm and gc of one container at the same time leave it whole or gone", async () => {
  await using world = makeWorld();
  const before = lookApart();
  for (let round = 0; round < 4; round++) {
    const seconds = marker();
    const id = await create("busybox", ["sleep", seconds], { ...world.folders, network: "none", keep: true });
    const words = [["start", id], ["stop", "-t", "0", id], ["rm", "-f", id], ["gc"], ["start", id], ["rm", "-f", id]];
    const results = await Promise.all(words.slice(round % 2).map((one) => world.cli(one)));
    for (const { stderr } of results) assert.doesNotMatch(stderr, /\.ts:|os error/, "no error of the machinery");
    await cli(world, "gc");
    const listed = JSON.parse(await cli(world, "ps", "-a", "--json"));
    assert(listed.length <= 1);
    const isRunning = listed[0]?.status === "running";
    assert.deepEqual([processesWith(seconds).length, monitorsOf(world).length], isRunning ? [1, 1] : [0, 0]);
    await clear(world);
  }
  assertApart(before);
});

Deno.test("rename while a container is being started loses neither the name nor what the start has written", async () => {
  await using world = makeWorld();
  const id = await cli(world, "create", ...NONE, "--name", "before", "--pids-limit", "20", "busybox", "sleep", "1000");
  const folder = openAt(AT_FDCWD, `${world.folders.containers}/${id}`, flags("O", "RDONLY", "DIRECTORY"));
  // Both have read the record, or are about to, when they may change it.
  lock(folder, "exclusive");
  const both = Promise.all([cli(world, "start", id), cli(world, "rename", id, "after")]);
  await new Promise((resolve) => setTimeout(resolve, 600));
  close(folder);
  await both;
  const { status, name, cgroups } = await inspect(world, "after");
  assert.deepEqual([status, name, cgroups?.length], ["running", "after", 1]);
  await clear(world);
});

Deno.test("a container that got another name in the midst of its start, or of one that fails, keeps it", async () => {
  await using world = makeWorld();
  const { containers, images } = world.folders;
  const id = await cli(world, "create", ...NONE, "--name", "n", "busybox", "sleep", "1000");
  const record = readRecord(`${containers}/${id}`) ?? assert.fail();
  // What start has read before, and writes later.
  await cli(world, "rename", "n", "m");
  writeWithName(containers, record);
  assert.equal((await inspect(world, "m")).name, "m");
  Deno.renameSync(`${images}/busybox`, `${world.home}/away`);
  const failing = start("m", world.folders);
  await Promise.all([assert.rejects(failing, { code: "image-gone" }), rename("m", "k", world.folders)]);
  Deno.renameSync(`${world.home}/away`, `${images}/busybox`);
  assert.equal((await inspect(world, "k")).name, "k");
  await clear(world);
});

Deno.test("several that remove one container at once all find it gone afterwards", async () => {
  await using world = makeWorld();
  const id = await cli(world, "run", "-d", ...NONE, "busybox", "sh", "-c", "seq 1 3000 | xargs touch; sleep 1000");
  const results = await Promise.all(Array.from({ length: 4 }, () => world.cli(["rm", "-f", id])));
  assert(results.some(({ code }) => code === 0));
  for (const { code, stderr } of results) {
    if (code) assert.match(stderr, /there is no container|another command is starting or removing it/);
  }
  await cli(world, "gc");
  assertNothingLeft(world);
});

Deno.test("a container whose image is gone says so, and starts again when it is back", async () => {
  await using world = makeWorld();
  const id = await cli(world, "run", "-d", ...NONE, "busybox", "sh", "-c", "exit 4");
  await untilEnded(world, id);
  Deno.renameSync(`${world.home}/images/busybox`, `${world.home}/away`);
  const before = Deno.readTextFileSync(`${world.folders.containers}/${id}/state`);
  const { code, stderr } = await world.cli(["start", id]);
  assert.equal(code, 125);
  assert.match(stderr, /the image busybox of container \w+ is gone: there is no .*\/busybox\n/);
  assert.equal(Deno.readTextFileSync(`${world.folders.containers}/${id}/state`), before);
  Deno.renameSync(`${world.home}/away`, `${world.home}/images/busybox`);
  await cli(world, "start", id);
  assert.equal(await cli(world, "wait", id), "4");
  await clear(world);
});

Deno.test("a start that fails leaves the container as it was, and no monitor", async () => {
  await using world = makeWorld();
  Deno.mkdirSync(`${world.home}/source`);
  const source = `${world.home}/source`;
  const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr as Deno.NetAddr;
  taken.close();
  const cases: [options: string[], spoil: () => Disposable | void, code: number, message: RegExp][] = [
    [[...NONE, "-v", `${source}:/source`], () => Deno.removeSync(source), 125, /there is no .*\/source/],
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

Deno.test("a container with limits loses no control group, whatever joins it at its end", async () => {
  await using world = makeWorld();
  const before = lookApart();
  const ids = await Promise.all(
    Array.from(
      { length: 4 },
      () => cli(world, "run", "-d", "--rm", ...NONE, "-m", "64m", "busybox", "sh", "-c", "sleep 0.7"),
    ),
  );
  const busy = ids.flatMap((id) =>
    Array.from({ length: 2 }, async () => {
      while ((await world.cli(["exec", id, "true"])).code === 0);
    })
  );
  await Promise.all(busy);
  await until("all monitors gone", () => monitorsOf(world).length === 0);
  await clear(world);
  assertApart(before);
});

/** Runs a script in a mount namespace of its own, with a small disk for containers; `s` is the command line there. */
async function onSmallDisk(world: World, script: string): Promise<string> {
  const prelude = `
    containers=${world.folders.containers}
    mount -t tmpfs -o size=1m,nr_inodes=200 none $containers
    s() { ${commandLine([]).map((word) => `'${word}'`).join(" ")} "$@" 2>&1; }
    fill() { dd if=/dev/zero of=$containers/fill bs=4k >/dev/null 2>&1; }
    gone() { i=0; while ls $containers/.live | grep -q .; do sleep 0.02; i=$((i+1)); [ $i -lt 500 ] || exit 1; done; }`;
  const { stdout } = await new Deno.Command("unshare", {
    args: ["--mount", "--propagation", "private", "sh", "-c", prelude + script],
    env: { SAUROPOD_HOME: world.home },
    cwd: world.home,
    stdin: "null",
    stderr: "inherit",
  }).output();
  return text(stdout);
}

Deno.test("on a full disk starts fail with a clear error and leave nothing; ends are still written, and rm and gc work", async () => {
  await using world = makeWorld();
  const before = lookApart();
  const output = await onSmallDisk(
    world,
    `
    id=$(s run -d ${NONE.join(" ")} busybox sh -c 'while [ ! -e /dev/shm/go ]; do sleep 0.02; done; exit 8')
    other=$(s run -d ${NONE.join(" ")} busybox sh -c 'exit 9'); s wait $other
    fill
    s run -d ${NONE.join(" ")} busybox true; echo "code $?"
    s start $other; echo "code $?"
    s wait $other
    s exec $id touch /dev/shm/go
    s wait $id
    s gc; echo "code $?"
    s rm $id $other; echo "code $?"
    rm $containers/fill
    ls $containers; ls $containers/.live`,
  );
  const ids = [...output.matchAll(/^[0-9a-f]{12}$/gm)].map(([id]) => id);
  assert.match(
    output,
    /^9\nsauropod: [^\n]*(ENOSPC|No space left)[^\n]*\n[^]*code 125\nsauropod: [^\n]*(ENOSPC|No space|no room)[^\n]*\n[^]*code 125\n9\n8\ncode 0\n/,
  );
  assert.deepEqual(ids.length, 2, output);
  assert.match(output, /code 0\n$/);
  assertApart(before);
});

Deno.test("what the disk has no room for is missing in the log, and the log says so once there is room again", async () => {
  await using world = makeWorld();
  const output = await onSmallDisk(
    world,
    `
    id=$(s run -d ${
      NONE.join(" ")
    } busybox sh -c 'echo first; until [ -e /dev/shm/1 ]; do sleep 0.02; done; seq 1 2000; ` +
      `touch /dev/shm/done; until [ -e /dev/shm/2 ]; do sleep 0.02; done; ` +
      `dd if=/dev/zero bs=60k count=1 2>/dev/null | tr "\\0" y; echo; until [ -e /dev/shm/3 ]; do sleep 0.02; done; echo last')
    fill
    s exec $id sh -c 'touch /dev/shm/1; until [ -e /dev/shm/done ]; do sleep 0.02; done; sleep 0.2'
    truncate -s -9000 $containers/fill
    s exec $id sh -c 'touch /dev/shm/2; sleep 0.3'
    rm $containers/fill
    s exec $id touch /dev/shm/3
    s wait $id
    cut -d' ' -f2- $containers/$id/log
    s rm $id`,
  );
  assert.match(output, /^0\nstdout F first\n/);
  // Wherever numbers are missing, it is said so.
  let told = 0, missing = 0, last = 0;
  for (const line of output.split("\n")) {
    const number = Number(/^stdout F (\d+)$/.exec(line)?.[1] ?? 0);
    const lost = Number(
      /^stderr F sauropod: no room on the disk: (\d+) bytes of this log are lost$/.exec(line)?.[1] ?? 0,
    );
    told += lost;
    if (number > 0) {
      if (number !== last + 1) assert(told > missing, `nothing was said between ${last} and ${number}`);
      missing = told;
      last = number;
    }
  }
  assert(told > 60_000, output);
  assert.match(output, /\nstdout F last\n/);
  // Of a record that did not fit nothing is left.
  assert.doesNotMatch(output, /y\d{4}-/);
});

Deno.test("a monitor that cannot mark its container for lack of room does not start it", async () => {
  await using world = makeWorld();
  const before = lookApart();
  // Room for fewer and fewer files: every step of a start meets the end of the disk once.
  const output = await onSmallDisk(
    world,
    `
    s run -d ${NONE.join(" ")} busybox sleep 0 >/dev/null
    gone
    for free in 1 3 4 5 6 7 8 9 10 11 12 15 18 40; do
      i=0; while touch $containers/.fill-$i 2>/dev/null; do i=$((i+1)); done
      n=0; while [ $n -lt $free ]; do n=$((n+1)); rm $containers/.fill-$((i-n)); done
      s run -d --rm ${NONE.join(" ")} busybox sleep 0; echo "code $?"
      gone
    done
    rm $containers/.fill-*; s gc
    ls $containers | grep -c '^[0-9a-f]'; ls -A $containers/.live`,
  );
  const codes = [...output.matchAll(/^code (\d+)$/gm)].map(([, code]) => Number(code));
  assert.equal(codes.length, 14, output);
  assert.equal(codes[0], 125, output);
  assert.equal(codes.at(-1), 0, output);
  for (const [part] of output.matchAll(/^sauropod: .*$/gm)) {
    assert.match(part, /ENOSPC|No space left|EROFS|before it could/);
  }
  assert.match(output, /\n1\n$/, "only the first is left");
  assertApart(before);
});

Deno.test("a script that uses the library leaves containers behind that live on", async () => {
  await using world = makeWorld();
  const script = `import { runDetached } from "${PROJECT}/mod.ts";
    console.log(await runDetached("busybox", ["sh", "-c", "sleep 0.5; exit 11"], { network: "none", keep: true }));`;
  Deno.writeTextFileSync(`${world.home}/script.ts`, script);
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", `${world.home}/script.ts`],
    env: { SAUROPOD_HOME: world.home },
    stderr: "inherit",
  }).output();
  const id = text(stdout).trim();
  assert.equal(await wait(id, world.folders), 11);
  await start(id, world.folders);
  assert.equal(await wait(id, world.folders), 11);
  const own = await runDetached("busybox", ["sh", "-c", "exit 12"], { ...world.folders, network: "none", keep: true });
  assert.equal(await wait(own, world.folders), 12);
  await clear(world);
});
