/** What is read from logs, and what `logs` prints of it. */

import assert from "node:assert/strict";
import { type LogLoss, readLog } from "../../../lib/container/state/log.ts";
import { isRecord } from "../../../lib/container/state/log_format.ts";
import { parseTime } from "../../../lib/text/time.ts";
import { makeContainer } from "../../helpers/log.ts";
import { concat } from "../../helpers/tar.ts";
import { makeWorld } from "../../helpers/world.ts";
import { text } from "../../helpers/inside.ts";
import { contents, ID, makeLog } from "../../helpers/log_reading.ts";

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

Deno.test("logs: a line is a record if its fields are where they must be", () => {
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

Deno.test("logs: times are how long ago, dates or seconds since 1970", () => {
  const now = Date.parse("2026-11-24T06:15:12.699Z");
  for (const [typed, expected] of TIMES) assert.equal(parseTime(typed, now), expected, typed);
  assert.equal(Date.parse(parseTime("2026-11-24")), new Date(2026, 10, 24).getTime(), "midnight here");
  for (const wrong of ["", "yesterday", "-5", "10 m", "2026-13-01", "2026-11-24T25:00Z", "1e99", "10d"]) {
    assert.throws(() => parseTime(wrong, now), { code: "bad-time" }, wrong);
  }
});

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

Deno.test("logs: timestamps stand at the beginning of each line, also of one in several records", async () => {
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

Deno.test("logs: a line that is being written is shown as far as it goes, and damage is told", async () => {
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

Deno.test("logs: records longer than any buffer come whole", async () => {
  await using made = makeLog();
  const long = "x".repeat(3_000_000);
  made.log.write("stdout", true, long);
  made.log.write("stdout", true, "short");
  assert.equal(await contents(made.folder), `${long}\nshort\n`);
  assert.equal(await contents(made.folder, { tail: 1 }), "short\n");
  assert.equal(await contents(made.folder, { tail: 2 }), `${long}\nshort\n`);
});

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

Deno.test("logs: the last lines are found without reading what is before them", async () => {
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

Deno.test("logs: without following, what was there at the beginning is read, whatever happens meanwhile", async () => {
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

Deno.test("logs: what makes no sense is refused, and a container without a log is told from one that is not there", async () => {
  await using made = makeLog();
  const { world } = made;
  makeContainer(world.folders.containers, "ba9876543210", { name: "db" });
  const table: [string[], RegExp][] = [
    [["db"], /container db has no log: .*\n.*--detach/],
    [["nobody"], /no such container: nobody/],
    [["--tail", "-3", "web"], /tail|-3/],
    [["--tail", "few", "web"], /invalid --tail "few"/],
    [["--since", "dawn", "web"], /invalid time "dawn"/],
    [[], /CONTAINER/],
  ];
  await Promise.all(table.map(async ([words, reason]) => {
    const { code, stdout, stderr } = await world.cli(["logs", ...words]);
    assert.deepEqual([code, stdout], [125, ""], words.join(" "));
    assert.match(stderr, reason);
  }));
  assert.deepEqual(await world.cli(["logs", "web"]), { code: 0, stdout: "", stderr: "" });
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

Deno.test("logs: a container without a log says why, and what to do", async () => {
  await using world = makeWorld();
  const cases: [name: string, words: string[], reason: RegExp][] = [
    ["front", ["run", "--name", "front"], /front has no log: it was run attached[^]*sauropod start front/],
    ["none", ["run", "-d", "--log-driver", "none", "--name", "none"], /none has no log: it was created without one/],
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
