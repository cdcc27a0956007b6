import assert from "node:assert/strict";
import { createNetwork, listNetworks, output, removeNetwork, run } from "../../mod.ts";
import { lineReader, say, text, until } from "../helpers/inside.ts";
import { assertApart, awaitQuiet, containerLinks, ruleset } from "../helpers/network.ts";
import { lookAtMachine } from "../helpers/leftovers.ts";
import { commandLine } from "../helpers/project.ts";
import { makeWorld } from "../helpers/world.ts";

assertApart();
const world = makeWorld();
Deno.test.beforeAll(async () => {
  await createNetwork("second", { ...world.folders, subnets: ["10.66.0.0/16", "fd66::/64"] });
  await say(world, "sleep 0.1", { network: ["bridge", "second"], publish: ["8000:80"], name: "first" });
});
Deno.test.afterAll(async () => {
  await awaitQuiet();
  await removeNetwork("second", world.folders);
  await world[Symbol.asyncDispose]();
});

function leasesFile(): string {
  const [, inode] = /\[(\d+)\]/.exec(Deno.readLinkSync("/proc/self/ns/net")) ?? [];
  return `/run/sauropod/net-${inode}/leases`;
}

function leases(): string {
  return Deno.readTextFileSync(leasesFile());
}

function openFiles(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** What is left of networks, once the kernel is done. */
async function look(): Promise<unknown> {
  await awaitQuiet();
  const names = [...Deno.readDirSync(world.folders.containers)].map(({ name }) => name).sort();
  return { machine: lookAtMachine(), names, leases: leases(), rules: await ruleset(), open: openFiles() };
}

/** Kills a command that may have ended. */
function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch (error) {
    assert.ok(error instanceof TypeError);
  }
}

/** Starts the command line. */
function spawn(...words: string[]): Deno.ChildProcess {
  const [program = "", ...args] = commandLine(["--rm", ...words]);
  const streams = { stdin: "null", stdout: "piped", stderr: "inherit" } as const;
  return new Deno.Command(program, { args, env: { SAUROPOD_HOME: world.home }, ...streams }).spawn();
}

const ADDRESS = "ip -o -4 address show eth0 | grep -o '[0-9.]*/24'; sleep 100";

Deno.test("50 containers and 8 commands that start at once have as many addresses, and know each other", async () => {
  const before = await look();
  const children = Array.from({ length: 8 }, () => spawn("busybox", "/bin/sh", "-c", ADDRESS));
  const readers = children.map(({ stdout }) => lineReader(stdout));
  const boxes = await Promise.all(
    Array.from({ length: 50 }, () => run("busybox", ["/bin/sleep", "100"], { ...world.folders })),
  );
  try {
    const outside = await Promise.all(readers.map((next) => next()));
    const all = [...boxes.map(({ networks }) => networks[0]?.addresses[0]), ...outside];
    assert.equal(new Set(all).size, 58, all.join(" "));
    assert.equal(all.every((address) => address?.startsWith("10.10.10.")), true);
    // A container may run before its siblings have been told of it.
    await until("the network knows all", async () => (await listNetworks(world.folders))[0]?.containers.length === 58);
    await until("each is known once to the first", () => {
      const lines = Deno.readTextFileSync(`/proc/${boxes[0]?.pid}/root/etc/hosts`).split("\n");
      const known = all.map((address) => lines.filter((line) => line.startsWith(`${address?.slice(0, -3)}\t`)).length);
      return known.every((times) => times === 1);
    });
  } finally {
    children.forEach(kill);
    await Promise.all([
      ...boxes.map((box) => box[Symbol.asyncDispose]()),
      ...children.map(({ status }) => status),
      ...readers.map((next) => next()),
    ]);
  }
  await say(world, "true");
  const { code } = await world.cli(["gc"]);
  assert.equal(code, 0);
  assert.deepEqual(await look(), before);
});

Deno.test("gc: 100 cycles leave nothing", async () => {
  const before = await look();
  for (let i = 0; i < 100; i++) {
    const { stdout } = await output("busybox", ["hostname"], {
      ...world.folders,
      hostname: `n${i}`,
      ...(i % 3 === 0 ? { publish: ["8000:80", "8000:80/udp"] } : {}),
      ...(i % 4 === 0 ? { network: ["second", "bridge"] } : {}),
      ...(i % 10 === 0 ? { netRate: 1e6 } : {}),
    });
    assert.equal(text(stdout), `n${i}\n`);
  }
  assert.deepEqual(await look(), before);
});

Deno.test("a start that fails, or is given up, leaves nothing", async () => {
  const before = await look();
  for (let i = 0; i < 10; i++) {
    const options = { ...world.folders, network: ["bridge", "second"], publish: ["8000:80"] };
    await assert.rejects(run("busybox", ["/no/such/command"], options));
    await assert.rejects(run("busybox", ["true"], { ...options, volumes: ["/proc/self/status:/dev/null/x"] }));
    const abort = new AbortController();
    const started = run("busybox", ["/bin/sleep", "100"], { ...options, signal: abort.signal });
    setTimeout(() => abort.abort(), i * 3);
    await started.then((box) => box[Symbol.asyncDispose](), () => {});
  }
  assert.deepEqual(await look(), before);
});

Deno.test("gc: after a command that is killed at any moment the next one finds nothing of it", async () => {
  const before = await look();
  const network = ["--network", "bridge", "--network", "second", "-p", "8000:80", "-p", "8000:80/udp"];
  for (let i = 0; i < 20; i++) {
    const child = spawn(...network, "busybox", "/bin/sleep", "100");
    await new Promise((resolve) => setTimeout(resolve, 40 + i * 10));
    child.kill("SIGKILL");
    await Promise.all([child.status, child.stdout.cancel()]);
    // The port is free at once.
    assert.equal(await say(world, "echo fine", { publish: ["8000:80", "8000:80/udp"] }), "fine\n", `after ${i}`);
  }
  const { code, stderr } = await world.cli(["gc"]);
  assert.deepEqual([code, stderr], [0, ""]);
  await until("no address is leased", () => containerLinks().length === 0);
  await say(world, "true");
  assert.deepEqual(await look(), before);
});

Deno.test("gc: those who live learn that a sibling's command was killed, at the latest from the next one", async () => {
  const box = await run("busybox", ["/bin/sleep", "100"], world.folders);
  try {
    const hosts = (): string => Deno.readTextFileSync(`/proc/${box.pid}/root/etc/hosts`);
    const before = hosts();
    const child = spawn("--name", "doomed", "busybox", "/bin/sh", "-c", "echo up; sleep 100");
    const next = lineReader(child.stdout);
    assert.equal(await next(), "up");
    await until("it is known", () => hosts().includes("doomed"));
    child.kill("SIGKILL");
    await child.status;
    assert.equal(await next(), undefined);
    await until("its interface is gone", () => containerLinks().length === 1);
    await say(world, "true");
    assert.equal(hosts(), before);
  } finally {
    await box[Symbol.asyncDispose]();
  }
});

Deno.test("gc: a lease of which half was written when its writer was killed hides no other", async () => {
  await using first = await run("busybox", ["/bin/sleep", "100"], { ...world.folders, name: "first" });
  Deno.writeTextFileSync(leasesFile(), `{"id":"0badf00d0bad","network":"sauro`, { append: true });
  await using _second = await run("busybox", ["/bin/sleep", "100"], { ...world.folders, name: "second" });
  const third = spawn("--name", "third", "busybox", "/bin/sh", "-c", "echo up; sleep 100");
  try {
    assert.equal(await lineReader(third.stdout)(), "up");
    const hosts = (): string => Deno.readTextFileSync(`/proc/${first.pid}/root/etc/hosts`);
    await until("the first knows all", () => hosts().includes("second") && hosts().includes("third"));
    const { stdout } = await world.cli(["network", "inspect", "sauropod0"]);
    for (const name of ["first", "second", "third"]) assert.match(stdout, new RegExp(`"${name}"`));
    assert.equal((await listNetworks(world.folders))[0]?.containers.length, 3);
  } finally {
    kill(third);
    await third.status;
  }
});

Deno.test("gc: a network made by a process that was killed meanwhile can be removed, or made again", async () => {
  for (let i = 0; i < 10; i++) {
    const [program = "", ...args] = commandLine(["network", "create", "third", "--subnet", "10.80.0.0/24"]);
    const child = new Deno.Command(program, { args, env: { SAUROPOD_HOME: world.home }, stdout: "null" }).spawn();
    setTimeout(() => kill(child), 30 + i * 8);
    await child.status;
    const known = (await listNetworks(world.folders)).some(({ name }) => name === "third");
    if (!known) await createNetwork("third", { ...world.folders, subnets: ["10.80.0.0/24"] });
    assert.match(await say(world, "ip -o -4 address", { network: "third" }), /10\.80\.0\.2\/24/);
    await awaitQuiet();
    await removeNetwork("third", world.folders);
  }
  assert.doesNotMatch(await ruleset(), /10\.80\.0\.0/);
});

Deno.test("gc: a container that runs although its network could not be settled is ended", async () => {
  const obstacle = leasesFile();
  await say(world, "true");
  const before = await look();
  Deno.renameSync(obstacle, `${obstacle}.kept`);
  Deno.mkdirSync(obstacle);
  try {
    await assert.rejects(run("busybox", ["/bin/sleep", "100"], world.folders), /[Dd]irectory/);
  } finally {
    Deno.removeSync(obstacle);
    Deno.renameSync(`${obstacle}.kept`, obstacle);
  }
  assert.deepEqual(await look(), before);
});
