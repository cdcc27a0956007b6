/** How commands end, signals, and init. */

import assert from "node:assert/strict";
import { output } from "../../../mod.ts";
import { converse, inside, lineReader, say, text, until } from "../../helpers/inside.ts";
import { makeWorld } from "../../helpers/world.ts";

const world = makeWorld();
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

/** Whether the process has a handler for the signal. */
function catches(pid: number, signal: number): boolean {
  const mask = /^SigCgt:\s*([0-9a-f]+)$/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1] ?? "0";
  return (BigInt(`0x${mask}`) >> BigInt(signal - 1) & 1n) === 1n;
}

Deno.test("every exit code from 0 to 255 is passed through", async () => {
  const all = Array.from({ length: 256 }, (_, code) => code);
  const codes: number[] = [];
  for (let at = 0; at < all.length; at += 16) {
    const batch = all.slice(at, at + 16).map((code) => output("busybox", ["sh", "-c", `exit ${code}`], world.folders));
    for (const { code, success, signal } of await Promise.all(batch)) {
      assert.deepEqual([success, signal], [code === 0, null]);
      codes.push(code);
    }
  }
  assert.deepEqual(codes, all);
});

const UNUSUAL: readonly (readonly [what: string, code: number, words: readonly string[], said: RegExp])[] = [
  ["of the command", 42, ["busybox", "sh", "-c", "exit 42"], /^$/],
  ["of a command behind --init", 43, ["--init", "busybox", "sh", "-c", "exit 43"], /^$/],
  [
    "for a command that is not found",
    127,
    ["busybox", "no-such-command"],
    /command not found in the container: no-such-command/,
  ],
  ["for a path that is not there", 127, ["busybox", "/no/such/command"], /\/no\/such\/command/],
  ["for a file without execute permission", 126, ["busybox", "/etc/passwd"], /\/etc\/passwd/],
  ["for a folder", 126, ["busybox", "/etc"], /\/etc/],
  ["for a command that is not found behind --init", 127, ["--init", "busybox", "no-such-command"], /no-such-command/],
  ["for a folder behind --init", 126, ["--init", "busybox", "/etc"], /\/etc/],
  ["for an unknown image", 125, ["no-such-image", "true"], /no-such-image/],
  ["for an unknown flag", 125, ["--no-such-flag", "busybox", "true"], /no-such-flag/],
  ["for a command killed by SIGKILL", 137, ["--init", "busybox", "sh", "-c", "kill -9 $$"], /^$/],
  ["for a command killed by SIGSEGV", 139, ["--init", "busybox", "sh", "-c", "kill -SEGV $$"], /^$/],
  ["for a command that aborts", 134, ["--init", "busybox", "sh", "-c", "kill -ABRT $$"], /^$/],
];

for (const [what, code, words, said] of UNUSUAL) {
  Deno.test(`run: the command line ends with ${code} ${what}`, async () => {
    const result = await world.cli(["--rm", ...words]);
    assert.deepEqual([result.code, result.stdout], [code, ""], result.stderr);
    assert.match(result.stderr, said);
  });
}

Deno.test("a PID 1 that is killed by a signal ends with 128 plus its number", async () => {
  await using box = await converse(world, "echo; read");
  await box.ask();
  assert.ok(box.container.kill("SIGKILL"));
  const { code, signal, success } = await box.container.status;
  assert.deepEqual({ code, signal, success }, { code: 137, signal: 9, success: false });
});

Deno.test("with --init another process is PID 1, holds none of the streams, and the command is its child", async () => {
  const script =
    "cat /proc/1/comm; tr '\\0' ' ' < /proc/1/cmdline; echo; echo $$ $PPID; ls /proc/1/fd | wc -l; wc -c < /proc/1/environ";
  const { stdout } = await world.cli(["--rm", "--init", "--cap-add", "SYS_PTRACE", "busybox", "sh", "-c", script]);
  const [, cmdline, pids, fds, environ] = stdout.trim().split("\n");
  assert.match(cmdline ?? "", /^sauropod-init /);
  assert.deepEqual([pids, fds, environ], ["2 1", "0", "0"]);
});

Deno.test("run: init reaps orphans", async () => {
  const script = `for i in 1 2 3 4 5; do (sleep 0.01 & exec true); done
    tries=0; while [ $tries -lt 200 ]; do
      left=$(cat /proc/[0-9]*/stat 2>/dev/null | grep -c -e '(sleep)' -e ' Z '); [ $left = 0 ] && break
      tries=$((tries + 1)); sleep 0.02
    done; echo $left left`;
  assert.equal(await say(world, `(${script})`, { init: true }), "0 left\n");
});

Deno.test("run: init's end is the command's end, and takes what the command left with it", async () => {
  const { code } = await inside(world, "sleep 1000 > /dev/null 2>&1 & exit 5", { init: true });
  assert.equal(code, 5);
});

const TRAP =
  `trap 'echo got TERM; exit 7' TERM; trap 'echo got USR1' USR1; echo ready; for i in $(seq 20); do read -t 1 line; done`;

for (const init of [false, true]) {
  Deno.test(`kill() reaches the command's handlers ${init ? "through init" : "as PID 1"}`, async () => {
    await using box = await converse(world, TRAP, { init });
    assert.equal(await box.ask(), "ready");
    assert.ok(box.container.kill("SIGUSR1"));
    assert.equal(await box.ask(), "got USR1");
    assert.ok(box.container.kill());
    assert.equal(await box.ask(), "got TERM");
    assert.equal((await box.container.status).code, 7);
    assert.equal(box.container.kill(), false);
  });

  Deno.test(`a TERM for the command line reaches the command ${init ? "through init" : "as PID 1"}`, async () => {
    const child = world.start(["--rm", ...(init ? ["--init"] : []), "busybox", "sh", "-c", TRAP], { stdin: "" });
    const next = lineReader(child.stdout);
    assert.equal(await next(), "ready");
    await until("the command line forwards signals", () => catches(child.pid, 15) && catches(child.pid, 10));
    child.kill("SIGUSR1");
    assert.equal(await next(), "got USR1");
    child.kill("SIGTERM");
    assert.equal(await next(), "got TERM");
    assert.equal(await next(), undefined);
    assert.equal((await child.status).code, 7);
    await Promise.all([child.stdin.abort(), child.stderr.cancel()]);
  });
}

Deno.test("run: a USR1 for the command line reaches the command, and opens no debugger of Deno's", async () => {
  const child = world.start(["--rm", "busybox", "sh", "-c", TRAP], { stdin: "" });
  const next = lineReader(child.stdout);
  assert.equal(await next(), "ready");
  // Deno listens for it half a second after its start.
  for (let i = 0; i < 15; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    child.kill("SIGUSR1");
    assert.equal(await next(), "got USR1");
  }
  child.kill("SIGTERM");
  assert.equal(await next(), "got TERM");
  assert.equal((await child.status).code, 7);
  assert.equal(await new Response(child.stderr).text(), "");
  await child.stdin.abort();
});

Deno.test("run: a USR1 ends a command that follows something, and opens no debugger of Deno's", async () => {
  for (const [command, ...args] of [["events"], ["stats"]] as const) {
    const child = world.start([command, ...args], { stdin: "" });
    await until("it can be signalled", () => catches(child.pid, 10));
    child.kill("SIGUSR1");
    const { code, stderr } = await child.output();
    assert.deepEqual([command, code, text(stderr)], [command, 138, ""]);
  }
});

Deno.test("a command behind init that does not handle TERM dies of it, with 143", async () => {
  await using box = await converse(world, "echo ready; exec sleep 20", { init: true });
  await box.ask();
  box.container.kill("SIGTERM");
  assert.equal((await box.container.status).code, 143);
});

Deno.test("a command as PID 1 that ignores TERM is killed by the third request", async () => {
  const child = world.start([
    "--rm",
    "busybox",
    "sh",
    "-c",
    "trap 'echo ignored' TERM; echo ready; for i in $(seq 20); do read -t 1 line; done",
  ], {
    stdin: "",
  });
  const next = lineReader(child.stdout);
  assert.equal(await next(), "ready");
  await until("the command line forwards signals", () => catches(child.pid, 15));
  for (let i = 0; i < 2; i++) {
    child.kill("SIGTERM");
    assert.equal(await next(), "ignored");
  }
  child.kill("SIGTERM");
  assert.equal((await child.status).code, 137);
  await Promise.all([child.stdin.abort(), child.stderr.cancel()]);
});

Deno.test("run: a command starts with no signal ignored or blocked", async () => {
  for (const init of [false, true]) {
    const masks = await say(world, ["sed", "-n", "s/^Sig\\(Blk\\|Ign\\|Cgt\\)://p", "/proc/self/status"], { init });
    assert.deepEqual(masks.trim().split(/\s+/), Array(3).fill("0".repeat(16)), `init: ${init}`);
  }
});
