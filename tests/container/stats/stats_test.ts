import assert from "node:assert/strict";
import { type Container, run, type RunOptions, type Sample, SauropodError, stats, top } from "../../../mod.ts";
import { parseNetworkIo, parseStat } from "../../../lib/container/stats/process_usage.ts";
import { makeSampler } from "../../../lib/container/stats/stats.ts";
import { readRecord } from "../../../lib/container/state/record.ts";
import { requireRunning, type Running } from "../../../lib/container/state/running.ts";
import { HOLD, host } from "../../helpers/groups.ts";
import { converse, lineReader, until } from "../../helpers/inside.ts";
import { hasPython, Terminal } from "../../helpers/terminal.ts";
import { commandLine } from "../../helpers/project.ts";
import { makeWorld, type World } from "../../helpers/world.ts";
import { skipWithout } from "../../helpers/skip.ts";

// The same tests run on hosts of cgroup v1, hybrid ones and, by v2_test.ts, on a pure v2 one.

const MiB = 1024 * 1024;
const BUSY = ["sh", "-c", "while :; do :; done"];

function runningOf(world: World, { id }: Container): Running {
  const record = readRecord(`${world.folders.containers}/${id}`) ?? assert.fail(`${id} has no record`);
  return requireRunning(world.folders.containers, record);
}

function start(world: World, command: readonly string[], options: RunOptions = {}): Promise<Container> {
  return run("busybox", command, { ...world.folders, ...options });
}

/** The next sample of a container. */
async function sampleOf(world: World, container: Container, interval = 300): Promise<Sample> {
  for await (const sample of stats(container, { ...world.folders, interval })) return sample;
  return assert.fail("there is no sample");
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return await work.then(() => "", (error) => {
    if (error instanceof SauropodError) return error.code;
    throw error;
  });
}

Deno.test("a busy container uses about one CPU or its limit, an idle one none", async () => {
  await using world = makeWorld();
  for (
    const [command, limits, low, high] of [
      [["sleep", "1000"], {}, 0, 5],
      // The machine may be busy with others, too.
      [BUSY, {}, 0.1, 115],
      [BUSY, { cpus: 0.2 }, 0.1, 45],
    ] as const
  ) {
    await using box = await start(world, command, { limits });
    const { cpuPercent = NaN, cpuSeconds } = await sampleOf(world, box, 600);
    assert(cpuPercent >= low && cpuPercent <= high, `${command} with ${JSON.stringify(limits)}: ${cpuPercent} %`);
    assert(cpuSeconds < 5);
  }
});

Deno.test("CPU time of children that have ended counts, and so do all processes of the container", async () => {
  await using world = makeWorld();
  const burn = "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done";
  await using talk = await converse(
    world,
    `(${burn}); (${burn}); echo ended; ${burn} & ${burn} & wait; echo too; read end`,
  );
  const look = makeSampler();
  const seconds = (): number => look([runningOf(world, talk.container)])[0]?.cpuSeconds ?? NaN;
  assert.equal(await talk.ask(), "ended");
  const children = seconds();
  assert(children > 0.02, `${children} s`);
  assert.equal(await talk.ask(), "too");
  assert(seconds() > children * 1.5, `${seconds()} s after ${children} s`);
});

Deno.test("stats: memory is what the processes hold, beside the limit or the machine's", async () => {
  await using world = makeWorld();
  for (const limits of [{}, { memory: 256 * MiB, pids: 40 }]) {
    await using talk = await converse(world, HOLD, { limits });
    assert.equal(await talk.ask(), "up");
    const { memory, memoryLimit, memoryPercent, pids } = await sampleOf(world, talk.container);
    assert(memory > 18 * MiB && memory < 150 * MiB, `${memory}`);
    if (limits.memory) assert.equal(memoryLimit, 256 * MiB);
    else assert(memoryLimit > 512 * MiB, "the machine's");
    assert.equal(memoryPercent, Math.round(memory / memoryLimit * 10_000) / 100);
    assert.equal(pids, 3);
  }
});

Deno.test("stats: processes and threads are counted, with a limit on them and without", async () => {
  await using world = makeWorld();
  for (const limits of [{}, { pids: 30 }]) {
    await using talk = await converse(world, "sleep 1000 & sleep 1000 & echo up; read end", { limits });
    await talk.ask();
    assert.equal((await sampleOf(world, talk.container)).pids, 3);
  }
});

Deno.test("stats: what a container writes to its disk is counted, and what it does on no network is none", async () => {
  await using world = makeWorld();
  const script = "dd if=/dev/zero of=/file bs=1M count=8 conv=fsync 2>/dev/null; echo up; read end";
  await using talk = await converse(world, script, { network: "none", keep: true });
  await talk.ask();
  const { blockWritten, networkReceived, networkSent } = await sampleOf(world, talk.container);
  assert.deepEqual([networkReceived, networkSent], [0, 0]);
  // A home in memory has no blocks, and not every kernel counts.
  const { stdout } = await new Deno.Command("stat", { args: ["-f", "-c", "%T", world.home] }).output();
  const onDisk = !/tmpfs/.test(new TextDecoder().decode(stdout));
  if (onDisk && blockWritten !== undefined) assert(blockWritten >= 8 * MiB, `${blockWritten}`);
  await using other = await start(world, ["sleep", "1000"], { network: "host" });
  assert.equal((await sampleOf(world, other)).networkReceived, undefined, "that of the host is not its own");
  await using joined = await start(world, ["sleep", "1000"], { network: `container:${other.id}` });
  assert.equal((await sampleOf(world, joined)).networkReceived, undefined);
});

Deno.test("stats: samples of a container come until it ends, or until they are no longer wanted", async () => {
  await using world = makeWorld();
  const box = await start(world, ["sleep", "1000"], { name: "box" });
  const seen: Sample[] = [];
  for await (const sample of stats("box", { ...world.folders, interval: 50 })) {
    if (seen.push(sample) === 3) box.kill("SIGKILL");
  }
  assert(seen.length >= 3 && seen.length <= 4);
  assert.equal(seen[0]?.name, "box");
  assert(seen.every(({ id, cpuPercent }) => id === box.id && cpuPercent !== undefined));
  await box.status;
  assert.equal(await codeOf(stats(box, world.folders).next()), "container-not-found");

  await using other = await start(world, ["sleep", "1000"]);
  const signal = AbortSignal.timeout(250);
  const begin = performance.now();
  for await (const sample of stats(other, { ...world.folders, interval: 60_000, signal })) assert.fail(sample.id);
  assert(performance.now() - begin < 10_000);
});

Deno.test("stats prints a table once, JSON by lines, and ends when those that were named have ended", async () => {
  await using world = makeWorld();
  await world.cli(["--name", "done", "busybox", "true"]);
  const empty = await world.cli(["stats", "--no-stream", "--interval", "0.1"]);
  assert.deepEqual([empty.code, empty.stdout.trim().split("\n").length], [0, 1], "headings only");
  await using one = await start(world, BUSY, { name: "one", limits: { memory: 64 * MiB } });
  await using two = await start(world, ["sleep", "1000"], { name: "two", network: "host" });
  const table = await world.cli(["stats", "--no-stream", "--interval", "0.3"]);
  assert.deepEqual([table.code, table.stderr], [0, ""]);
  assert.match(table.stdout, /^ID +NAME +CPU % +MEMORY \/ LIMIT +MEM % +NETWORK I\/O +BLOCK I\/O +PIDS\n/);
  assert.match(table.stdout, new RegExp(`^${one.id} +one +[1-9][\\d.]*% +[\\d.]+ [KM]iB / 64 MiB +[\\d.]+% `, "m"));
  assert.match(table.stdout, new RegExp(`^${two.id} +two +0\\.\\d\\d% .* -- .* 1$`, "m"));
  assert.doesNotMatch(table.stdout, /done/);
  const all = await world.cli(["stats", "--no-stream", "--all", "--interval", "0.1"]);
  assert.match(all.stdout, / done +-- +-- +-- +-- +-- +--\n/);

  const only = await world.cli(["stats", "--no-stream", "--json", "--interval", "0.1", "two"]);
  const lines = only.stdout.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ id, name, pids }) => ({ id, name, pids })), [{ id: two.id, name: "two", pids: 1 }]);
  assert.equal(typeof lines[0].memory, "number");

  const stream = world.start(["stats", "--json", "--interval", "0.1", "one", "two"]);
  const next = lineReader(stream.stdout);
  const seen = [];
  while (seen.length < 4) seen.push(JSON.parse(await next() ?? ""));
  assert.deepEqual(seen.map(({ name }) => name), ["one", "two", "one", "two"]);
  one.kill("SIGKILL");
  two.kill("SIGKILL");
  while (await next() !== undefined);
  assert.equal((await stream.status).code, 0);
  await stream.stderr.cancel();

  for (
    const [words, status, reason] of [
      [["stats", "done"], 125, /is not running/],
      [["stats", "nobody"], 125, /no such container: nobody/],
      [["stats", "--interval", "0"], 125, /expected seconds from 0.1 to 86400/],
    ] as const
  ) {
    const { code, stdout, stderr } = await world.cli(words);
    assert.deepEqual([code, stdout], [status, ""]);
    assert.match(stderr, reason);
  }
});

Deno.test({
  name: "stats: on a terminal the table is drawn over itself, and cut to its size",
  ignore: skipWithout("python3", hasPython()),
  fn: async () => {
    await using world = makeWorld();
    const boxes = await Promise.all(
      Array.from({ length: 8 }, (_, i) => start(world, ["sleep", "1000"], { name: `b${i}` })),
    );
    try {
      const env = { SAUROPOD_HOME: world.home };
      const words = ["stats", "--interval", "0.2", ...boxes.map(({ id }) => id)];
      await using terminal = new Terminal(commandLine(words), { env, size: [60, 6] });
      await terminal.shows(/ b0 [^]* b0 /);
      await terminal.shows(/and 5 more/);
      for (const frame of terminal.screen.split("\x1b[H").slice(1, -1)) {
        const lines = frame.replaceAll("\x1b[K", "").split(/\r?\n/).slice(0, -1);
        assert.equal(lines.length, 5);
        assert(lines.every((line) => line.length <= 60), frame);
      }
      boxes.forEach((box) => box.kill("SIGKILL"));
      assert.equal(await terminal.ended(), 0);
    } finally {
      await Promise.all(boxes.map((box) => box[Symbol.asyncDispose]()));
    }
  },
});

const MANY = 100;

Deno.test(`stats: a look at ${MANY} containers takes a fraction of a second`, async () => {
  await using world = makeWorld();
  const boxes: Container[] = [];
  try {
    for (let i = 0; i < MANY; i++) boxes.push(await start(world, ["sleep", "1000"], { network: "none" }));
    const look = makeSampler();
    const running = boxes.map((box) => runningOf(world, box));
    look(running);
    const begin = performance.now();
    const samples = look(running);
    const taken = performance.now() - begin;
    assert.equal(samples.length, MANY);
    assert(samples.every(({ pids, memory }) => pids === 1 && memory > 0));
    // It takes tens of milliseconds; other machines may be slow or busy.
    assert(taken < 1000, `${taken} ms`);
  } finally {
    await Promise.all(boxes.map((box) => box[Symbol.asyncDispose]()));
  }
});

Deno.test("top lists every process with its numbers inside and outside, its user, and what it does", async () => {
  await using world = makeWorld();
  const script = "sleep 1000 & sleep 2000 & sleep 3000; :";
  await using box = await start(world, ["sh", "-c", script], { name: "box", user: "alice" });
  let processes = await top("box", world.folders);
  await until("all have started", async () => {
    processes = await top("box", world.folders);
    return processes.some(({ command }) => command === "sleep 3000") && processes.length === 4;
  });
  const [first] = processes;
  assert.deepEqual([first?.pid, first?.hostPid, first?.parent], [1, box.pid, 0]);
  assert(processes.every(({ user, uid }) => user === "alice" && uid === 1000));
  assert.deepEqual(processes.slice(1).map(({ parent }) => parent), [1, 1, 1]);
  for (const { hostPid, pid, started } of processes) {
    assert.match(Deno.readTextFileSync(`/proc/${hostPid}/status`), new RegExp(`^NSpid:.*\t${pid}$`, "m"));
    assert(Math.abs(Date.now() - Date.parse(started)) < 30_000, started);
  }
  const { code, stdout } = await world.cli(["top", "box"]);
  assert.equal(code, 0);
  assert.match(stdout, /^USER +PID +HPID +PPID +%CPU +START +TIME +COMMAND\n/);
  assert.match(stdout, new RegExp(`^alice +1 +${box.pid} +0 +[\\d.]+ +\\d\\d:\\d\\d +00:00:00 +sh -c sleep 1000`, "m"));
  assert.equal(JSON.parse((await world.cli(["top", "--json", "box"])).stdout).length, 4);
  const missing = await world.cli(["top", "nobody"]);
  assert.deepEqual([missing.code, missing.stdout], [125, ""]);
});

Deno.test("top shows the dead, those in namespaces within, and no character that a terminal obeys", async () => {
  await using world = makeWorld();
  const script = `sleep 0.3 & exec unshare -p -f sh -c 'sleep 1000; : "$1"' sh "$(printf 'a\\033[31mb\\nc')"`;
  await using box = await start(world, ["sh", "-c", script], { capAdd: ["SYS_ADMIN"] });
  await until("all are there", async () => {
    const commands = (await top(box, world.folders)).map(({ command }) => command);
    return commands.includes("[sleep] <defunct>") && commands.includes("sleep 1000");
  });
  const { stdout } = await world.cli(["top", box.id]);
  assert.match(stdout, /a\\x1b\[31mb\\nc/);
  assert(!stdout.includes("\x1b"));
  assert.equal(stdout.trim().split("\n").length, 5, stdout);
});

Deno.test("stats: files of /proc are read as they are, whatever the name of the program", () => {
  const tail = "S 7 42 42 0 -1 4194560 1 2 3 4 150 50 30 20 20 0 3 0 12345 0";
  for (const name of ["sh", "a) S 1 (b", "x y"]) {
    assert.deepEqual(parseStat(`42 (${name}) ${tail}\n`), {
      name,
      state: "S",
      parent: 7,
      cpuSeconds: 2,
      childSeconds: 0.5,
      threads: 3,
      startSeconds: 123.45,
    });
  }
  const dev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 999 1 0 0 0 0 0 0 999 1 0 0 0 0 0 0
  eth0: 1000 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0
eth1:5 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0
`;
  assert.deepEqual(parseNetworkIo(dev), { received: 1005, sent: 207 });
  assert.deepEqual(parseNetworkIo(""), { received: 0, sent: 0 });
});

Deno.test("stats: a container that got its limit on memory late still shows all that it uses", async () => {
  await using world = makeWorld();
  await using talk = await converse(world, HOLD, { name: "box" });
  assert.equal(await talk.ask(), "up");
  const { code, stderr } = await world.cli(["update", "--memory", "200m", "box"]);
  assert.equal(code, 0);
  // v2 may begin to count only when it is told to.
  if (host.layout !== "v2") assert.equal(stderr, "");
  const { memory, memoryLimit } = await sampleOf(world, talk.container);
  assert(memory > 18 * MiB, `${memory}`);
  assert.equal(memoryLimit, 200 * MiB);
});
