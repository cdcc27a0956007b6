import assert from "node:assert/strict";
import { copyLog, type LogLoss, type LogOptions, readLog } from "../lib/container/log.ts";
import { isRecord } from "../lib/container/log_format.ts";
import { formatMark, markProcess } from "../lib/container/record.ts";
import { parseTime } from "../lib/time.ts";
import { type LogWriter, makeContainer, writeLog } from "./helpers/log.ts";
import { concat, randomFrom } from "./helpers/tar.ts";
import { commandLine, makeWorld, PROJECT, type World } from "./helpers/world.ts";

const ID = "0123456789ab";
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 20_000; !condition();) {
    assert(Date.now() < end, `in 20 s, not ${what}`);
    await pause(2);
  }
}

/** The folder of a container in a world of its own, and the writer of its log. */
function makeLog(keep?: number): { world: World; folder: string; log: LogWriter } & AsyncDisposable {
  const world = makeWorld();
  const folder = makeContainer(world.folders.containers, ID, { name: "web" });
  const log = writeLog(folder, keep);
  return {
    world,
    folder,
    log,
    async [Symbol.asyncDispose](): Promise<void> {
      log.close();
      await world[Symbol.asyncDispose]();
    },
  };
}

/** What is in a log, both streams in order: what went to stderr is in braces. */
async function contents(folder: string, options: LogOptions & { timestamps?: boolean } = {}): Promise<string> {
  let all = "";
  await copyLog(folder, options, (stream, bytes) => all += stream === "stdout" ? text(bytes) : `{${text(bytes)}}`);
  return all;
}

// Records

const T = "2026-11-24T06:15:12.699123456Z";
const LINES = [
  [`${T} stdout F hello`, true],
  [`${T} stderr P `, true],
  [`${T} stdout F`, false],
  [`${T} stdout X hello`, false],
  [`${T} stdin_ F hello`, false],
  [`${T} stdout  F hello`, false],
  ["2026-11-24T06:15:12.699Z stdout F hello", false],
  ["\0".repeat(60), false],
  ["", false],
] as const;

Deno.test("a line is a record if its fields are where they must be", () => {
  for (const [line, expected] of LINES) {
    const bytes = new TextEncoder().encode(line);
    assert.equal(isRecord(bytes, 0, bytes.length), expected, line);
  }
});

const TIMES = [
  ["10s", "2026-11-24T06:15:02.699000000Z"],
  ["1h30m", "2026-11-24T04:45:12.699000000Z"],
  ["1.5h", "2026-11-24T04:45:12.699000000Z"],
  ["500ms", "2026-11-24T06:15:12.199000000Z"],
  ["0s", "2026-11-24T06:15:12.699000000Z"],
  ["-10s", "2026-11-24T06:15:22.699000000Z"],
  ["9999999h", "1970-01-01T00:00:00.000000000Z"],
  ["1795500912", "2026-11-24T06:15:12.000000000Z"],
  ["1795500912.000000001", "2026-11-24T06:15:12.000000001Z"],
  ["2026-11-24T06:15:12.699123456Z", "2026-11-24T06:15:12.699123456Z"],
  ["2026-11-24T06:15:12.5+02:00", "2026-11-24T04:15:12.500000000Z"],
  ["2026-11-24 06:15Z", "2026-11-24T06:15:00.000000000Z"],
  ["2026-11-24Z", "2026-11-24T00:00:00.000000000Z"],
] as const;

Deno.test("times are how long ago, dates or seconds since 1970", () => {
  const now = Date.parse("2026-11-24T06:15:12.699Z");
  for (const [typed, expected] of TIMES) assert.equal(parseTime(typed, now), expected, typed);
  assert.equal(Date.parse(parseTime("2026-11-24")), new Date(2026, 10, 24).getTime(), "midnight here");
  for (const wrong of ["", "yesterday", "-5", "10 m", "2026-13-01", "2026-11-24T25:00Z", "1e99", "10d"]) {
    assert.throws(() => parseTime(wrong, now), { code: "bad-time" }, wrong);
  }
});

// What was written comes back

Deno.test("logs prints what was written byte for byte, each stream to its own", async () => {
  await using made = makeLog();
  const { log, world } = made;
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i).filter((byte) => byte !== 10);
  log.write("stdout", true, bytes);
  log.write("stderr", true, "oh\r");
  log.write("stdout", true, "");
  log.write("stdout", false, "no end");
  log.write("stderr", false, bytes);
  log.rotate();
  log.write("stdout", false, " yet");
  const child = world.start(["logs", "web"]);
  const { code, stdout, stderr } = await child.output();
  assert.equal(code, 0);
  assert.deepEqual(stdout, concat(bytes, "\n\nno end yet"));
  assert.deepEqual(stderr, concat("oh\r\n", bytes));
});

Deno.test("timestamps stand at the beginning of each line, also of one in several records", async () => {
  await using made = makeLog();
  const { log, world, folder } = made;
  const time = (second: number): string => `2026-11-24T06:15:0${second}.000000001Z`;
  log.write("stdout", false, "a", time(1));
  log.write("stderr", true, "x", time(2));
  log.write("stdout", true, "b", time(3));
  log.write("stdout", true, "", time(4));
  assert.equal(await contents(folder, { timestamps: true }), `${time(1)} a{${time(2)} x\n}b\n${time(4)} \n`);
  const { stdout, stderr } = await world.cli(["logs", "-t", ID]);
  assert.equal(stdout, `${time(1)} ab\n${time(4)} \n`);
  assert.equal(stderr, `${time(2)} x\n`);
});

Deno.test("--json prints an object a record, in base64 what is not text", async () => {
  await using made = makeLog();
  const { log, world } = made;
  log.write("stdout", false, "grü", T);
  log.write("stderr", true, new Uint8Array([0xc3, 0]), T);
  const { code, stdout, stderr } = await world.cli(["logs", "--json", "web"]);
  assert.deepEqual([code, stderr], [0, ""]);
  assert.deepEqual(stdout.trim().split("\n").map((line) => JSON.parse(line)), [
    { time: T, stream: "stdout", partial: true, text: "grü" },
    { time: T, stream: "stderr", partial: false, base64: "wwA=" },
  ]);
});

Deno.test("a line that is being written is shown as far as it goes, and damage is told", async () => {
  await using made = makeLog();
  const { log, world, folder } = made;
  log.write("stdout", true, "one");
  log.raw(`${T} stdout F tw`);
  assert.equal(await contents(folder), "one\ntw");
  log.raw("o\n2026-11-24T06:1");
  const losses: LogLoss[] = [];
  assert.equal(await contents(folder, { onLoss: (loss) => losses.push(loss) }), "one\ntwo\n");
  assert.deepEqual(losses, []);
  log.raw("\n");
  log.write("stdout", true, "three");
  const { code, stdout, stderr } = await world.cli(["logs", "web"]);
  assert.deepEqual([code, stdout], [0, "one\ntwo\nthree\n"]);
  assert.match(stderr, /^sauropod: lines are missing here: the log is damaged\n$/);
});

Deno.test("records longer than any buffer come whole", async () => {
  await using made = makeLog();
  const long = "x".repeat(3_000_000);
  made.log.write("stdout", true, long);
  made.log.write("stdout", true, "short");
  assert.equal(await contents(made.folder), `${long}\nshort\n`);
  assert.equal(await contents(made.folder, { tail: 1 }), "short\n");
  assert.equal(await contents(made.folder, { tail: 2 }), `${long}\nshort\n`);
});

// Parts of a log

Deno.test("--tail counts lines from the end, across rotated files, however they were cut", async () => {
  await using made = makeLog();
  const { log, folder, world } = made;
  const lines: string[] = [];
  for (let i = 0; i < 40; i++) {
    const parts = Array.from({ length: i % 4 }, (_, j) => `part ${i}.${j} `);
    for (const part of parts) log.write("stdout", false, part);
    if (i % 7 === 0) log.rotate();
    log.write("stdout", true, `line ${i}`);
    lines.push(`${parts.join("")}line ${i}\n`);
    if (i % 9 === 0) log.rotate();
  }
  for (let n = 0; n <= 41; n++) {
    assert.equal(await contents(folder, { tail: n }), n === 0 ? "" : lines.slice(-n).join(""), `--tail ${n}`);
  }
  log.write("stdout", false, "no ");
  log.write("stdout", false, "end");
  assert.equal(await contents(folder, { tail: 2 }), `${lines.at(-1)}no end`);
  for (const flags of [["--tail", "2"], ["-n", "2"], ["--tail=2"]]) {
    assert.equal((await world.cli(["logs", ...flags, "web"])).stdout, `${lines.at(-1)}no end`, flags.join(" "));
  }
  assert.equal((await world.cli(["logs", "--tail", "all", "web"])).stdout, lines.join("") + "no end");
});

Deno.test("the last lines are found without reading what is before them", async () => {
  await using made = makeLog();
  const { log, folder } = made;
  const line = `${T} stdout F ${"x".repeat(959)}\n`;
  for (let i = 0; i < 64; i++) log.raw(line.repeat(1000));
  log.write("stdout", true, "the end");
  const bytesRead = (): number => Number(/^rchar: (\d+)$/m.exec(Deno.readTextFileSync("/proc/self/io"))?.[1]);
  const before = bytesRead();
  assert.equal(await contents(folder, { tail: 1 }), "the end\n");
  assert(bytesRead() - before < 1_000_000, `${bytesRead() - before} bytes of 64 MB were read`);
});

Deno.test("without following, what was there at the beginning is read, whatever happens meanwhile", async () => {
  await using made = makeLog(1);
  const { log, folder } = made;
  const before = Array.from({ length: 1000 }, (_, i) => `${i}`.padEnd(1000));
  before.forEach((line) => log.write("stdout", true, line));
  const seen: string[] = [];
  for await (const record of readLog(folder)) {
    if (seen.length === 0) { for (let i = 0; i < 3; i++) log.rotate(); }
    log.write("stdout", true, "meanwhile");
    seen.push(text(record.text));
  }
  assert.deepEqual(seen, before);
});

Deno.test("--since and --until choose records by their time", async () => {
  await using made = makeLog();
  const { log, world } = made;
  for (let i = 1; i <= 5; i++) {
    log.write("stdout", true, `line ${i}`, `2026-11-24T06:15:0${i}.000000005Z`);
    if (i === 3) log.rotate();
  }
  log.write("stdout", true, "new");
  const table: [string[], string][] = [
    [["--since", "2026-11-24T06:15:04.000000005Z"], "line 4\nline 5\nnew\n"],
    [["--since", "2026-11-24T06:15:04.000000006Z"], "line 5\nnew\n"],
    [["--until", "2026-11-24T06:15:02.000000005Z"], "line 1\nline 2\n"],
    [["--until", "2026-11-24T06:15:02.000000004Z"], "line 1\n"],
    [["--since", "2026-11-24T06:15:02Z", "--until", "2026-11-24T06:15:04Z"], "line 2\nline 3\n"],
    [["--since", "10m", "--tail", "3"], "new\n"],
    [["--since", "2126-01-01"], ""],
  ];
  const early = Date.parse("2026-11-24T06:16:00Z") > Date.now();
  await Promise.all(table.map(async ([flags, expected]) => {
    if (early && flags.includes("10m")) return;
    assert.deepEqual(await world.cli(["logs", ...flags, "web"]), { code: 0, stdout: expected, stderr: "" });
  }));
});

Deno.test("what makes no sense is refused, and a container without a log is told from one that is not there", async () => {
  await using made = makeLog();
  const { world } = made;
  makeContainer(world.folders.containers, "ba9876543210", { name: "db" });
  const table: [string[], RegExp][] = [
    [["db"], /container db has no log: .*\n.*--detach/],
    [["nobody"], /no container nobody/],
    [["--tail", "-3", "web"], /tail|-3/],
    [["--tail", "few", "web"], /"few" is not a number of lines/],
    [["--since", "dawn", "web"], /"dawn" is not a time/],
    [[], /CONTAINER/],
  ];
  await Promise.all(table.map(async ([words, reason]) => {
    const { code, stdout, stderr } = await world.cli(["logs", ...words]);
    assert.deepEqual([code, stdout], [125, ""], words.join(" "));
    assert.match(stderr, reason);
  }));
  assert.deepEqual(await world.cli(["logs", "web"]), { code: 0, stdout: "", stderr: "" });
});

// Following

Deno.test("following, what is written arrives at once, also parts of lines", async () => {
  await using made = makeLog();
  const { log, folder } = made;
  log.write("stdout", true, "old");
  let running = true, got = "";
  let arrived = Promise.withResolvers<void>();
  const done = copyLog(folder, { tail: 0, follow: () => running }, (_, bytes) => {
    got += text(bytes);
    arrived.resolve();
  });
  await pause(50);
  const waits: number[] = [];
  for (let i = 0; i < 30; i++) {
    if (i % 10 === 5) log.rotate();
    arrived = Promise.withResolvers<void>();
    const begin = performance.now();
    log.write("stdout", i % 2 === 1, `${i}`);
    await arrived.promise;
    waits.push(performance.now() - begin);
  }
  running = false;
  await done;
  const expected = Array.from({ length: 30 }, (_, i) => i % 2 === 1 ? `${i}\n` : `${i}`).join("");
  assert.equal(got, expected);
  const median = waits.sort((a, b) => a - b)[15] ?? Infinity;
  assert(median < 100, `it took ${median} ms in the median`);
});

Deno.test("following begins where the log was when it was asked for, even if there was none", async () => {
  await using world = makeWorld();
  const folder = makeContainer(world.folders.containers, ID);
  let running = true;
  const first = contents(folder, { tail: 0, follow: () => running });
  const log = writeLog(folder);
  log.write("stdout", true, "first");
  const second = contents(folder, { tail: 0, follow: () => running });
  log.write("stdout", true, "second");
  log.rotate();
  log.write("stdout", true, "third");
  log.close();
  await pause(20);
  running = false;
  assert.equal(await first, "first\nsecond\nthird\n");
  assert.equal(await second, "second\nthird\n");
});

Deno.test("following can be given up", async () => {
  await using made = makeLog();
  made.log.write("stdout", true, "one");
  const stop = new AbortController();
  const all = contents(made.folder, { follow: () => true, signal: stop.signal });
  await pause(20);
  const begin = performance.now();
  stop.abort();
  assert.equal(await all, "one\n");
  assert(performance.now() - begin < 500);
});

Deno.test("a reader that is too slow is told that lines are gone, and goes on with the oldest that are there", async () => {
  await using made = makeLog(2);
  const { log, folder } = made;
  let running = true;
  const losses: LogLoss[] = [];
  const records = readLog(folder, { follow: () => running, onLoss: (loss) => losses.push(loss) });
  const next = async (): Promise<string> => text((await records.next()).value?.text ?? new Uint8Array());
  log.write("stdout", true, "0");
  assert.equal(await next(), "0");
  // The file that the reader has open is rotated away with all after it but the last three.
  for (let i = 1; i <= 6; i++) {
    log.write("stdout", true, `${i}`);
    log.rotate();
  }
  log.write("stdout", true, "7");
  running = false;
  // The first file was held open: nothing of it is lost.
  assert.equal(await next(), "1");
  assert.deepEqual(losses, []);
  assert.equal(await next(), "5");
  assert.deepEqual(losses, ["rotated"]);
  assert.deepEqual([await next(), await next()], ["6", "7"]);
  assert.equal((await records.next()).done, true);
});

Deno.test("a container that is removed ends the following, and nothing comes twice", async () => {
  await using world = makeWorld();
  const folder = makeContainer(world.folders.containers, ID);
  const log = writeLog(folder);
  for (const word of ["one", "two", "three"]) {
    log.write("stdout", true, word);
    if (word !== "three") log.rotate();
  }
  log.close();
  let running = true, got = "";
  const losses: LogLoss[] = [];
  const options: LogOptions = { follow: () => running, onLoss: (loss) => losses.push(loss) };
  const done = copyLog(folder, options, (_, bytes) => got += text(bytes));
  await until("read", () => got === "one\ntwo\nthree\n");
  Deno.removeSync(`${folder}/log`);
  await pause(30);
  Deno.removeSync(folder, { recursive: true });
  await pause(30);
  running = false;
  await done;
  assert.equal(got, "one\ntwo\nthree\n");
  assert.deepEqual(losses, []);
});

Deno.test("whatever is written and rotated whenever, a follower gets every byte in order", async () => {
  for (const seed of [1, 2, 3, 4]) {
    await using made = makeLog();
    const { log, folder } = made;
    const random = randomFrom(seed);
    const below = (limit: number): number => Math.floor(random() * limit);
    const written = { stdout: [] as number[], stderr: [] as number[] };
    const read: Record<"stdout" | "stderr", Uint8Array[]> = { stdout: [], stderr: [] };
    let running = true;
    const losses: LogLoss[] = [];
    const options = { follow: () => running, onLoss: (loss: LogLoss) => losses.push(loss) };
    const done = copyLog(folder, options, (stream, bytes) => read[stream].push(bytes.slice()));
    for (let i = 0; i < 1500; i++) {
      const stream = below(3) === 0 ? "stderr" : "stdout";
      const size = below(10) === 0 ? below(16384) : below(80);
      const bytes = Uint8Array.from({ length: size }, () => below(256)).map((byte) => byte === 10 ? 11 : byte);
      const full = size === 0 || below(3) > 0;
      const line = concat(`${T} ${stream} ${full ? "F" : "P"} `, bytes, "\n");
      // A writer can be seen in the middle of a line.
      const cut = below(line.length);
      log.raw(line.subarray(0, cut));
      if (below(40) === 0) await pause(below(3));
      log.raw(line.subarray(cut));
      written[stream].push(...bytes, ...(full ? [10] : []));
      if (below(60) === 0) log.rotate();
      if (below(60) === 0) log.rotate();
      if (below(20) === 0) await pause(below(3));
    }
    running = false;
    await done;
    for (const stream of ["stdout", "stderr"] as const) {
      const all = concat(...read[stream].map((bytes) => new Uint8Array(bytes)));
      assert.deepEqual(all, Uint8Array.from(written[stream]), `seed ${seed}, ${stream}`);
    }
    assert.deepEqual(losses, [], `seed ${seed}`);
    let again = 0;
    for await (const { text, partial } of readLog(folder)) again += text.length + (partial ? 0 : 1);
    assert.equal(again, written.stdout.length + written.stderr.length);
  }
});

Deno.test("a writer that rotates all the time is followed without a gap that is not told", async () => {
  for (const keep of [20, 2]) {
    await using made = makeLog();
    const { folder, world } = made;
    const script = `${world.home}/writer.ts`;
    const total = 60_000;
    Deno.writeTextFileSync(
      script,
      `import { writeLog } from "${PROJECT}/tests/helpers/log.ts";
       const log = writeLog("${folder}", ${keep});
       for (let i = 1; i <= ${total}; i++) {
         log.write("stdout", true, String(i));
         if (i % 150 === 0) log.rotate();
       }`,
    );
    let running = true, losses = 0;
    const seen: number[] = [];
    const reading = (async () => {
      const options: LogOptions = { follow: () => running, onLoss: () => losses++ };
      for await (const record of readLog(folder, options)) seen.push(Number(text(record.text)));
    })();
    const args = ["run", "-A", "--no-lock", script];
    const { code, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    assert.equal(code, 0, text(stderr));
    running = false;
    await reading;
    const gaps = seen.filter((number, i) => number !== (seen[i - 1] ?? 0) + 1);
    assert(gaps.length <= losses, `${gaps.length} gaps, at ${gaps.slice(0, 5)}, and ${losses} were told`);
    const disorder = seen.findIndex((number, i) => !(number > (seen[i - 1] ?? 0)));
    assert.equal(disorder, -1, `not in order: ${seen.slice(Math.max(0, disorder - 3), disorder + 3)}`);
    assert.equal(seen.at(-1), total);
  }
});

Deno.test("rotations in the middle of opening the files change neither the order nor what is read", async () => {
  const openSync = Deno.openSync;
  for (const keep of [2, 3, Infinity]) {
    for (let rotations = 1; rotations <= 4; rotations++) {
      for (let at = 0; at < 5; at++) {
        await using made = makeLog(keep);
        const { log, folder } = made;
        let last = 0, opened = 0;
        const writeAndRotate = (): void => {
          log.write("stdout", true, String(++last));
          log.rotate();
        };
        for (let i = 0; i < 3; i++) writeAndRotate();
        Deno.openSync = (path, options): Deno.FsFile => {
          const rotate = !options && opened++ === at;
          try {
            return openSync(path, options);
          } finally {
            if (rotate) { for (let i = 0; i < rotations; i++) writeAndRotate(); }
          }
        };
        try {
          const read = contents(folder);
          Deno.openSync = openSync;
          const numbers = (await read).trim().split("\n").map(Number), [first = 0] = numbers;
          assert.deepEqual(numbers, numbers.map((_, i) => first + i), `${keep} ${rotations} ${at}`);
          assert(numbers.length >= Math.min(3, keep), `${keep} ${rotations} ${at}: ${numbers}`);
        } finally {
          Deno.openSync = openSync;
        }
      }
    }
  }
});

/** Says that the container lives, owned by this process. */
function bringToLife(world: World): () => void {
  const live = `${world.folders.containers}/.live`, mark = markProcess(Deno.pid);
  assert(mark);
  Deno.mkdirSync(live, { recursive: true });
  Deno.symlinkSync(formatMark(mark), `${live}/${ID}`);
  return () => Deno.removeSync(`${live}/${ID}`);
}

Deno.test("reading leaves no file open, however it ends", async () => {
  await using made = makeLog();
  const { log, folder } = made;
  for (let i = 0; i < 5; i++) {
    log.write("stdout", true, `${i}`);
    log.rotate();
  }
  const read = async (): Promise<number> => {
    for await (const _ of readLog(folder, { follow: () => true })) break;
    await contents(folder, { tail: 2 });
    await contents(folder, { follow: () => false });
    return [...Deno.readDirSync("/proc/self/fd")].length;
  };
  assert.equal(await read(), await read());
});

Deno.test("where the kernel has no watches left, following works, if not at once", async () => {
  await using made = makeLog();
  const { log, world } = made;
  const end = bringToLife(world);
  log.write("stdout", true, "one");
  const [deno = "", ...args] = commandLine(["logs", "-f", "web"]);
  const script = 'echo 0 > /proc/sys/user/max_inotify_instances; exec "$@"';
  const child = new Deno.Command("unshare", {
    args: ["--user", "--map-root-user", "sh", "-ec", script, "sh", deno, ...args],
    env: { SAUROPOD_HOME: world.home },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  assert.equal((await reader.read()).value, "one\n");
  log.write("stdout", true, "two");
  assert.equal((await reader.read()).value, "two\n");
  end();
  assert.equal((await reader.read()).done, true);
  assert.deepEqual([(await child.status).code, await new Response(child.stderr).text()], [0, ""]);
});

Deno.test("logs -f goes on until the container has ended", async () => {
  await using made = makeLog();
  const { log, world } = made;
  const end = bringToLife(world);
  log.write("stdout", true, "one");
  const child = world.start(["logs", "-f", "web"]);
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  assert.equal((await reader.read()).value, "one\n");
  log.write("stdout", false, "two");
  assert.equal((await reader.read()).value, "two");
  log.rotate();
  log.write("stdout", true, " three");
  assert.equal((await reader.read()).value, " three\n");
  const begin = performance.now();
  end();
  assert.equal((await reader.read()).done, true);
  assert.deepEqual([(await child.status).code, await new Response(child.stderr).text()], [0, ""]);
  assert(performance.now() - begin < 900, "it is told of the end, not only asked for it once a second");
});

Deno.test("logs ends quietly when nobody reads it any more", async () => {
  await using made = makeLog();
  const { log, world } = made;
  for (let i = 0; i < 50; i++) log.raw(`${T} stdout F ${"x".repeat(9000)}\n`);
  const child = world.start(["logs", "web"]);
  const reader = child.stdout.getReader();
  await reader.read();
  await reader.cancel();
  const { code } = await child.status;
  assert.deepEqual([code, await new Response(child.stderr).text()], [0, ""]);
});

Deno.test("a container without a log says why, and what to do", async () => {
  await using world = makeWorld();
  const cases: [name: string, words: string[], reason: RegExp][] = [
    ["front", ["run", "--name", "front"], /front has no log: it was run in the foreground[^]*sauropod start front/],
    ["none", ["run", "-d", "--log-driver", "none", "--name", "none"], /none has no log: it was made without one/],
    ["new", ["create", "--name", "new"], /new has no log: it has not been started yet[^]*sauropod start new/],
  ];
  for (const [name, words, reason] of cases) {
    assert.equal((await world.cli([...words, "--network", "none", "busybox", "echo", "hello"])).code, 0);
    await world.cli(["wait", name]);
    const { code, stdout, stderr } = await world.cli(["logs", name]);
    assert.deepEqual([code, stdout], [125, ""]);
    assert.match(stderr, reason);
  }
  // As it says.
  assert.equal((await world.cli(["start", "front"])).code, 0);
  await world.cli(["wait", "front"]);
  assert.equal((await world.cli(["logs", "front"])).stdout, "hello\n");
});
