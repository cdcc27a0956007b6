import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  ContainerError,
  InputError,
  inspect,
  list,
  logs,
  prepare,
  remove,
  type RunOptions,
  SpawnError,
  start,
  wait,
} from "../../../mod.ts";
import { parseStatus, text, until } from "../../helpers/inside.ts";
import { descriptorsOf, eventsOf, leftIn, pids, wordsOf } from "../../helpers/life.ts";
import { assertUnchanged, lookAtMachine } from "../../helpers/leftovers.ts";
import { PROJECT } from "../../helpers/project.ts";
import { makeWorld } from "../../helpers/world.ts";

const world = makeWorld();
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

const PIPED = { stdin: "piped", stdout: "piped", stderr: "piped", network: "none" } as const;

function options(more: RunOptions = {}): RunOptions {
  return { ...world.folders, ...PIPED, ...more };
}

/** The process of ours that waits for a command: it may not have quite executed the shim when prepare() returns. */
async function waiting(): Promise<number> {
  const isOurs = (pid: number): boolean => {
    try {
      return wordsOf(pid)[0] === "sauropod-join" &&
        Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1]?.split(" ")[1] === String(Deno.pid);
    } catch {
      return false;
    }
  };
  let found: number[] = [];
  await until("one waits", () => (found = pids().filter(isOurs)).length === 1);
  return found[0] ?? -1;
}

function descriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

Deno.test("prepare: a container that was made ahead runs what it is given, with its variables and in its folder", async () => {
  await using ready = await prepare("busybox", options({ env: { A: "1", B: "1" }, user: "alice" }));
  await using box = await ready.run(["sh", "-c", 'echo "$A $B $(id -u) $PWD $(hostname)"; echo err >&2; exit 3'], {
    env: { B: "2" },
    cwd: "/etc",
  });
  assert.equal(box.id, ready.id);
  const { code, stdout, stderr } = await box.output();
  assert.deepEqual([code, text(stdout), text(stderr)], [3, `1 2 1000 /etc ${ready.id}\n`, "err\n"]);
});

Deno.test("what it was given holds also for exec, and when it is started again", async () => {
  await using ready = await prepare("busybox", options({ env: { A: "1", B: "1" }, keep: true }));
  await using box = await ready.run(["sh", "-c", "echo $A $B $PWD; read line"], { env: { B: "2" }, cwd: "/etc" });
  const more = await box.exec(["sh", "-c", "echo $A $B $PWD"], { stdout: "piped", stderr: "piped" });
  assert.equal(text((await more.output()).stdout), "1 2 /etc\n");
  await box.stdin.close();
  await box.status;
  await start(box.id, world.folders);
  await wait(box.id, world.folders);
  const lines = await Array.fromAsync(logs(box.id, world.folders));
  assert.deepEqual(lines.map((line) => text(line.text)), ["1 2 /etc"]);
  await remove(box.id, world.folders);
});

Deno.test("its command is PID 1, also in a control group, and the child of init if asked", async () => {
  for (const [wishes, pid] of [[{}, "1\n"], [{ limits: { pids: 10 } }, "1\n"], [{ init: true }, "2\n"]] as const) {
    await using ready = await prepare("busybox", options(wishes));
    await using box = await ready.run(["sh", "-c", "echo $$"]);
    assert.equal(text((await box.output()).stdout), pid);
  }
});

Deno.test("while it waits it is nobody's but ours: no command runs in it, and ps says that it is made", async () => {
  await using ready = await prepare("busybox", options({ name: "ahead", user: "alice" }));
  const pid = await waiting(), status = parseStatus(Deno.readTextFileSync(`/proc/${pid}/status`));
  assert.equal(status.get("Uid"), "1000 1000 1000 1000");
  assert.equal(status.get("CapEff"), "0".repeat(16));
  assert.equal(status.get("NoNewPrivs"), "1");
  assert.deepEqual([...descriptorsOf(pid).values()].map((target) => target.split(":")[0]), Array(5).fill("pipe"));
  const [info] = await list({ ...world.folders });
  assert.deepEqual([info?.id, info?.status, info?.command], [ready.id, "created", []]);
  const { code, stderr } = await world.cli(["exec", "ahead", "true"]);
  assert.deepEqual([code, /is not running: it is created/.test(stderr)], [125, true]);
  await using box = await ready.run(["sleep", "1000"]);
  const running = await inspect("ahead", world.folders);
  assert.deepEqual([running.status, running.command], ["running", ["sleep", "1000"]]);
  assert.equal((await world.cli(["exec", "ahead", "true"])).code, 0);
  assert.equal(box.kill("SIGKILL"), true);
  assert.equal((await box.status).code, 137);
  const actions = eventsOf(world).filter(({ id }) => id === ready.id).map(({ action }) => action);
  assert.deepEqual(actions.filter((action) => !action.startsWith("exec")), ["create", "start", "die", "destroy"]);
});

Deno.test("prepare: other commands leave one that waits to who made it, at once", async () => {
  await using ready = await prepare("busybox", options({ limits: { pids: 20 } }));
  const start = performance.now();
  const refused: readonly (readonly [string[], RegExp])[] = [
    [["rm", "-f", ready.id], new RegExp(`process ${Deno.pid} has prepared it`)],
    [["update", "--memory", "64m", ready.id], /is waiting for its command/],
    [["restart", ready.id], /cannot start container/],
    [["pause", ready.id], /is not running/],
    [["kill", ready.id], /is not running/],
  ];
  for (const [words, why] of refused) {
    const { code, stderr } = await world.cli(words);
    assert.notEqual(code, 0);
    assert.match(stderr, why);
  }
  assert.equal((await world.cli(["stop", ready.id])).code, 0);
  assert.ok(performance.now() - start < 8000);
  await using box = await ready.run(["echo", "well"]);
  assert.equal(text((await box.output()).stdout), "well\n");
});

Deno.test("prepare: one that gets no command is gone when its scope ends, with all that it had", async () => {
  const before = lookAtMachine(), counts: number[] = [];
  for (let i = 0; i < 2; i++) {
    {
      const wishes = { name: "unused", limits: { memory: 1 << 24 }, network: "bridge" } as const;
      await using ready = await prepare("busybox", options(wishes));
      assert.match(ready.networks[0]?.addresses[0] ?? "", /^10\.10\.10\./);
    }
    assert.deepEqual(leftIn(world), []);
    counts.push(descriptors());
  }
  assert.equal(counts[0], counts[1]);
  await world.cli(["network", "rm", "sauropod0"]);
  assertUnchanged(before);
});

Deno.test("prepare: it ends also when its address cannot be given back", async () => {
  const namespace = Deno.statSync("/proc/self/ns/net").ino;
  const blocked = `/run/sauropod/net-${namespace}/leases.new`;
  const ready = await prepare("busybox", options({ network: "bridge" }));
  Deno.mkdirSync(blocked);
  try {
    await assert.rejects(async () => await ready[Symbol.asyncDispose]());
  } finally {
    Deno.removeSync(blocked);
  }
  assert.deepEqual(leftIn(world), []);
  await world.cli(["network", "rm", "sauropod0"]);
});

Deno.test("prepare: it has its address and its terminal before its command", async () => {
  await using ready = await prepare("busybox", options({ network: "bridge", terminal: { columns: 90, rows: 30 } }));
  const address = ready.networks[0]?.addresses[0];
  await using box = await ready.run(["sh", "-c", "ip -4 -o addr show eth0; stty size"]);
  const said = text((await box.output()).stdout);
  assert.ok(said.includes(`inet ${address} `) && said.endsWith("30 90\r\n"), said);
});

Deno.test("prepare: a command that cannot be executed, or a folder that is not there, leaves nothing", async () => {
  for (
    const [command, cwd, code] of [[["nope"], "/", "command-not-found"], [["true"], "/nope", "step-failed"]] as const
  ) {
    await using ready = await prepare("busybox", options());
    await assert.rejects(ready.run(command, { cwd }), (error) => error instanceof SpawnError && error.code === code);
    assert.deepEqual(leftIn(world), []);
  }
});

Deno.test("prepare: what makes no sense is refused, and it waits on; a second command is refused", async () => {
  await using ready = await prepare("busybox", options());
  await assert.rejects(ready.run([""]), InputError);
  await assert.rejects(ready.run(["true"], { env: { "": "x" } }), InputError);
  await assert.rejects(ready.run(["true"], { cwd: "etc" }), InputError);
  await using box = await ready.run(["true"]);
  const refused = (error: unknown) => error instanceof ContainerError && error.code === "container-not-running";
  await assert.rejects(ready.run(["true"]), refused);
  assert.equal((await box.status).code, 0);
});

Deno.test("prepare: one that was killed while it waited says so, and leaves nothing", async () => {
  await using ready = await prepare("busybox", options());
  const pid = await waiting();
  Deno.kill(pid, "SIGKILL");
  await until("it has ended", () => /^State:\s*Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`)));
  await assert.rejects(
    ready.run(["true"]),
    (error) => error instanceof ContainerError && /prepared container \w+: it has exited/.test(error.message),
  );
  assert.deepEqual(leftIn(world), []);
});

Deno.test("prepare: a signal that is aborted while it waits, or as it gets its command, leaves nothing", async () => {
  const early = new AbortController(), late = new AbortController();
  const ready = await prepare("busybox", options({ signal: early.signal }));
  early.abort();
  await assert.rejects(ready.run(["true"]), { name: "AbortError" });
  assert.deepEqual(leftIn(world), []);
  await using other = await prepare("busybox", options({ signal: late.signal }));
  const command = other.run(["sleep", "1000"]);
  late.abort();
  await assert.rejects(command, { name: "AbortError" });
  assert.deepEqual(leftIn(world), []);
});

Deno.test("prepare: one that was removed says so", async () => {
  const ready = await prepare("busybox", options());
  await ready[Symbol.asyncDispose]();
  await assert.rejects(
    ready.run(["true"]),
    (error) => error instanceof ContainerError && /prepared container \w+: it has been removed/.test(error.message),
  );
});

Deno.test("prepare: one whose record is gone or cannot be read leaves no descriptor open", async () => {
  const counts: number[] = [];
  for (const text of [undefined, "{}", undefined, "{}"]) {
    await using ready = await prepare("busybox", options());
    const record = `${world.folders.containers}/${ready.id}/container.json`;
    if (text === undefined) Deno.removeSync(record);
    else Deno.writeTextFileSync(record, text);
    await assert.rejects(ready.run(["true"]), ContainerError);
    assert.deepEqual(leftIn(world), []);
    counts.push(descriptors());
  }
  assert.deepEqual(counts, Array(4).fill(counts[0]));
});

Deno.test("prepare: a container that cannot be made leaves no descriptor open", async () => {
  const counts: number[] = [];
  for (let i = 0; i < 2; i++) {
    await assert.rejects(prepare("busybox", options({ volumes: ["/etc:/a\0b"] })));
    await assert.rejects(prepare("busybox", options({ tmpfs: ["/bin/busybox"] })), SpawnError);
    assert.deepEqual(leftIn(world), []);
    counts.push(descriptors());
  }
  assert.equal(counts[0], counts[1]);
});

Deno.test("prepare: a command as long as the kernel takes arrives whole", async () => {
  const words = Array.from({ length: 15 }, (_, i) => String(i).repeat(100_000).slice(0, 100_000));
  const script = 'for word; do echo "${#word}"; done; printf %s "$*" | sha256sum';
  await using ready = await prepare("busybox", options());
  await using box = await ready.run(["sh", "-c", script, "-", ...words]);
  const sum = createHash("sha256").update(words.join(" ")).digest("hex");
  assert.equal(text((await box.output()).stdout), "100000\n".repeat(15) + `${sum}  -\n`);
});

Deno.test("prepare: when the script that made it is killed, it ends, and the next command takes it away, also if kept", async () => {
  for (const keep of [false, true]) {
    const id = await orphan({ network: "none", keep });
    assert.equal((await world.cli(["gc"])).stdout, `removed ${id}\n`);
    assert.deepEqual(leftIn(world), []);
  }
});

Deno.test("prepare: the name of one whose script was killed is free at once, also on a network", async () => {
  for (const detached of [[], ["--detach"]]) {
    await orphan({ network: "bridge" });
    const words = ["run", "--rm", ...detached, "--name", "orphan", "busybox", "true"];
    const next = world.start(words), timer = setTimeout(() => next.kill("SIGKILL"), 10_000);
    const { code, stderr } = await next.output();
    clearTimeout(timer);
    assert.equal(code, 0, text(stderr));
    await until("it is gone", async () => (await list(world.folders)).length === 0);
  }
  await world.cli(["network", "rm", "sauropod0"]);
});

/** Makes a container called `orphan` in a script that is then killed; returns its id. */
async function orphan(wishes: RunOptions): Promise<string> {
  const script = `
    import { prepare } from "${PROJECT}/mod.ts";
    const ready = await prepare("busybox", ${JSON.stringify({ ...world.folders, name: "orphan", ...wishes })});
    console.log(ready.id);
    await new Promise((resolve) => setTimeout(resolve, 100_000));`;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "-"],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(script));
  await writer.close();
  const reader = child.stdout.getReader();
  const id = text((await reader.read()).value ?? new Uint8Array()).trim();
  assert.match(id, /^[0-9a-f]{12}$/);
  assert.deepEqual(leftIn(world).length > 0, true);
  child.kill("SIGKILL");
  await child.status;
  await reader.cancel();
  return id;
}

Deno.test("prepare: an image's own words hold for its command: entrypoint and variables", async () => {
  const { code, stderr } = await world.cli(["images", "build", "-t", "talker", "-f", "-", world.image], {
    stdin: 'FROM scratch\nCOPY . /\nENV WHO=world\nENTRYPOINT ["/bin/sh", "-c", "echo $0 $WHO $1"]\nCMD ["bye"]\n',
  });
  assert.equal(code, 0, stderr);
  await using ready = await prepare("talker", options({ env: { WHO: "you" } }));
  await using box = await ready.run(["hello", "there"]);
  assert.equal(text((await box.output()).stdout), "hello you there\n");
});
