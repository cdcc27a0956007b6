/** Logs that are written and rotated while they are read. */

import assert from "node:assert/strict";
import { copyLog, type LogLoss, type LogOptions, readLog } from "../../../lib/container/state/log.ts";
import { encodeIdentity, identifyProcess } from "../../../lib/host/process_identity.ts";
import { until } from "../../helpers/until.ts";
import { makeContainer, writeLog } from "../../helpers/log.ts";
import { randomFrom } from "../../helpers/random.ts";
import { concat } from "../../helpers/tar.ts";
import { commandLine, PROJECT } from "../../helpers/project.ts";
import { makeWorld, type World } from "../../helpers/world.ts";
import { text } from "../../helpers/inside.ts";
import { contents, ID, makeLog, pause } from "../../helpers/log_reading.ts";

const T = "2026-11-24T06:15:12.699123456Z";

Deno.test("logs -f: following, what is written arrives at once, also parts of lines", async () => {
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

Deno.test("logs -f: following begins where the log was when it was asked for, even if there was none", async () => {
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

Deno.test("logs -f: following can be given up", async () => {
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

Deno.test("logs -f: a reader that is too slow is told that lines are gone, and goes on with the oldest that are there", async () => {
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

Deno.test("logs -f: a container that is removed ends the following, and nothing comes twice", async () => {
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

Deno.test("logs -f: whatever is written and rotated whenever, a follower gets every byte in order", async () => {
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

Deno.test("logs -f: a writer that rotates all the time is followed without a gap that is not told", async () => {
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

Deno.test("logs -f: rotations in the middle of opening the files change neither the order nor what is read", async () => {
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
  const live = `${world.folders.containers}/.live`, mark = identifyProcess(Deno.pid);
  assert(mark);
  Deno.mkdirSync(live, { recursive: true });
  Deno.symlinkSync(encodeIdentity(mark), `${live}/${ID}`);
  return () => Deno.removeSync(`${live}/${ID}`);
}

Deno.test("logs -f: reading leaves no file open, however it ends", async () => {
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

Deno.test("logs -f: where the kernel has no watches left, following works, if not at once", async () => {
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
