/** A command's standard streams. */

import assert from "node:assert/strict";
import { run } from "../../../mod.ts";
import { say, text } from "../../helpers/inside.ts";
import { makeWorld } from "../../helpers/world.ts";

const world = makeWorld();
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

const SIZE = 5_000_000;

/** Five megabytes in which every byte value occurs, also every one after every other. */
function manyBytes(): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(SIZE);
  let state = 1;
  for (let i = 0; i < SIZE; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = i < 256 ? i : state >>> 24;
  }
  return bytes;
}

async function digest(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return `${bytes.length} ${new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex()}`;
}

async function feed(stream: WritableStream<Uint8Array>, bytes: Uint8Array): Promise<void> {
  const writer = stream.getWriter();
  for (let at = 0; at < bytes.length; at += 300_000) await writer.write(bytes.subarray(at, at + 300_000));
  await writer.close();
}

/** Feeds a command line and collects what it writes, as bytes. */
async function throughCli(words: readonly string[], bytes: Uint8Array): Promise<Deno.CommandOutput> {
  const child = world.start(words, { stdin: "" });
  const [, result] = await Promise.all([feed(child.stdin, bytes), child.output()]);
  return result;
}

for (const init of [false, true]) {
  const flags = init ? ["--rm", "--init"] : ["--rm"];
  Deno.test(`run -i: five megabytes go through the command line unchanged, both ways${init ? ", with init" : ""}`, async () => {
    const bytes = manyBytes();
    const { code, stdout, stderr } = await throughCli([...flags, "busybox", "cat"], bytes);
    assert.deepEqual([code, text(stderr), await digest(stdout)], [0, "", await digest(bytes)]);
  });

  Deno.test(`run -i: standard error is a stream of its own, byte for byte${init ? ", with init" : ""}`, async () => {
    const bytes = manyBytes();
    const { code, stdout, stderr } = await throughCli([...flags, "busybox", "sh", "-c", "echo out; cat >&2"], bytes);
    assert.deepEqual([code, text(stdout), await digest(stderr)], [0, "out\n", await digest(bytes)]);
  });

  Deno.test(`run -i: five megabytes go through the library unchanged, both ways at once${init ? ", with init" : ""}`, async () => {
    const bytes = manyBytes();
    const piped = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
    await using box = await run("busybox", ["sh", "-c", "tee /dev/stderr"], { ...world.folders, ...piped, init });
    const [, result] = await Promise.all([feed(box.stdin, bytes), box.output()]);
    const expected = await digest(bytes);
    assert.deepEqual([result.code, await digest(result.stdout), await digest(result.stderr)], [0, expected, expected]);
  });
}

Deno.test("run -i: the end of input reaches the command through the command line", async () => {
  const { code, stdout } = await throughCli(["--rm", "busybox", "wc", "-c"], new Uint8Array(1234));
  assert.deepEqual([code, text(stdout)], [0, "1234\n"]);
});

for (const init of [false, true]) {
  const how = init ? ", with init" : "";
  Deno.test(`the end of input reaches the command, and its end of output us while it still runs${how}`, async () => {
    const piped = { stdin: "piped", stdout: "piped" } as const;
    const words = ["sh", "-c", "wc -c; exec >&-; exec sleep 20"];
    await using box = await run("busybox", words, { ...world.folders, ...piped, init });
    await feed(box.stdin, new Uint8Array(1234));
    assert.equal(await new Response(box.stdout).text(), "1234\n");
    assert.ok(box.kill("SIGKILL"), "it still ran");
  });
}

Deno.test("run -i: without input a command reads its end at once", async () => {
  assert.equal(await say(world, "wc -c; readlink /proc/self/fd/0"), "0\n/dev/null\n");
  assert.equal((await world.cli(["--rm", "busybox", "wc", "-c"])).stdout, "0\n");
});

for (const [flags, codes] of [[["--init"], [141]], [[], [1, 141]]] as const) {
  Deno.test(`run -i: a reader that goes away ends the command${flags.length ? ", by SIGPIPE behind init" : ""}`, async () => {
    const child = world.start(["--rm", ...flags, "busybox", "yes"]);
    const reader = child.stdout.getReader();
    assert.equal(text((await reader.read()).value ?? new Uint8Array()).slice(0, 4), "y\ny\n");
    await reader.cancel();
    const { code } = await child.status;
    assert.ok(codes.some((expected) => expected === code), `it ended with ${code}`);
    await child.stderr.cancel();
  });
}

Deno.test("run -i: streams can be null", async () => {
  const null_ = { stdin: "null", stdout: "null", stderr: "null" } as const;
  await using box = await run("busybox", ["sh", "-c", "echo lost; echo lost >&2; [ -c /proc/self/fd/1 ]"], {
    ...world.folders,
    ...null_,
  });
  assert.equal((await box.status).code, 0);
});

Deno.test("run -i: a command whose user is not root can open its own streams by name", async () => {
  const script = "echo out > /dev/stdout; echo err > /dev/stderr; cat /dev/stdin";
  const piped = { stdin: "piped", stdout: "piped", stderr: "piped" } as const;
  for (const init of [false, true]) {
    await using box = await run("busybox", ["sh", "-c", script], { ...world.folders, ...piped, user: "alice", init });
    const [, { stdout, stderr }] = await Promise.all([feed(box.stdin, new TextEncoder().encode("in")), box.output()]);
    assert.deepEqual([text(stdout), text(stderr)], ["out\nin", "err\n"]);
  }
});
