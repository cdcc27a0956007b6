import assert from "node:assert/strict";
import { type Container, type Limits, output, run, type RunOptions, SauropodError } from "../../mod.ts";
import { type CgroupHost, type Controller, detectCgroups } from "../../lib/cgroup/host.ts";
import { until } from "../helpers/until.ts";
import { assertUnchanged, lookAtMachine } from "../helpers/leftovers.ts";
import { commandLine } from "../helpers/project.ts";
import { makeWorld, type World } from "../helpers/world.ts";
import { skipHere } from "../helpers/skip.ts";

// The same tests run on hosts of cgroup v1, hybrid ones and, by v2_test.ts, on a pure v2 one.

const MiB = 1024 * 1024;
const BUSY = ["sh", "-c", "while :; do :; done"];
// Needs a buffer of 200 MiB, and fills it.
const HOG = ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"];

const host: CgroupHost = detectCgroups();

function has(controller: Controller): boolean {
  return host.controllers.has(controller);
}

/** The first processor, where there is a choice: without the controller there is one processor, or the test fails. */
function pinned(): Limits {
  if (has("cpuset")) return { cpusetCpus: "0" };
  assert.equal(navigator.hardwareConcurrency, 1);
  return {};
}

/** The folder of a process's group in the hierarchy of `controller`. */
function groupOf(pid: number, controller: Controller): string {
  const hierarchy = host.controllers.get(controller);
  assert(hierarchy, `${controller} is not on this host`);
  const name = hierarchy.version === 2 ? "" : hierarchy.name;
  const line = Deno.readTextFileSync(`/proc/${pid}/cgroup`).split("\n").find((line) => line.split(":")[1] === name);
  return `${hierarchy.mount}${line?.split(":").slice(2).join(":")}`;
}

/** Seconds of CPU time that a process has used. */
function cpuTime(pid: number): number {
  const text = Deno.readTextFileSync(`/proc/${pid}/stat`);
  const [user, system] = text.slice(text.lastIndexOf(")") + 2).split(" ").slice(11, 13).map(Number);
  return ((user ?? NaN) + (system ?? NaN)) / 100;
}

function busy(world: World, limits: Limits): Promise<Container> {
  return run("busybox", BUSY, { ...world.folders, limits });
}

async function refusal(world: World, options: RunOptions): Promise<SauropodError> {
  try {
    await output("busybox", ["true"], { ...world.folders, ...options });
  } catch (error) {
    if (error instanceof SauropodError) return error;
    throw error;
  }
  return assert.fail(`${JSON.stringify(options)} was accepted`);
}

const VALUES = [
  [{ cpuShares: 200 }, "cpu", ["cpu.shares", "200"], ["cpu.weight", "20"]],
  [{ cpuShares: 1024 }, "cpu", ["cpu.shares", "1024"], ["cpu.weight", "100"]],
  [{ cpus: 0.25 }, "cpu", ["cpu.cfs_quota_us", "25000"], ["cpu.max", "25000 100000"]],
  [{ cpusetCpus: "0" }, "cpuset", ["cpuset.cpus", "0"], ["cpuset.cpus", "0"]],
  [{ cpusetMems: "0" }, "cpuset", ["cpuset.mems", "0"], ["cpuset.mems", "0"]],
  [
    { memory: 64 * MiB },
    "memory",
    ["memory.limit_in_bytes", String(64 * MiB)],
    ["memory.max", String(64 * MiB)],
  ],
  [
    { memory: 64 * MiB, memoryReservation: 32 * MiB },
    "memory",
    ["memory.soft_limit_in_bytes", String(32 * MiB)],
    ["memory.low", String(32 * MiB)],
  ],
  [{ pids: 33 }, "pids", ["pids.max", "33"], ["pids.max", "33"]],
  [{ pids: -1 }, "pids", ["pids.max", "max"], ["pids.max", "max"]],
] as const satisfies readonly (readonly [Limits, Controller, readonly [string, string], readonly [string, string]])[];

const SWAP = [
  [{ memory: 64 * MiB, memorySwap: 96 * MiB }, ["memory.memsw.limit_in_bytes", String(96 * MiB)], [
    "memory.swap.max",
    String(32 * MiB),
  ]],
  [{ memory: 64 * MiB, memorySwap: 64 * MiB }, ["memory.memsw.limit_in_bytes", String(64 * MiB)], [
    "memory.swap.max",
    "0",
  ]],
  [{ memory: 64 * MiB, memorySwap: -1 }, ["memory.memsw.limit_in_bytes", "9223372036854771712"], [
    "memory.swap.max",
    "max",
  ]],
] as const;

/** Runs a container with `limits` and compares a file of its group with what is expected for the group's version. */
async function assertInForce(
  world: World,
  limits: Limits,
  controller: Controller,
  expected: readonly (readonly [file: string, value: string])[],
): Promise<void> {
  await using container = await run("busybox", ["sleep", "1000"], { ...world.folders, limits });
  const [file, value] = expected[(host.controllers.get(controller)?.version ?? 1) - 1] ?? ["", ""];
  const found = Deno.readTextFileSync(`${groupOf(container.pid, controller)}/${file}`).trim();
  assert.equal(found, value, `${file} for ${JSON.stringify(limits)}`);
}

Deno.test("every limit is in the files of the container's groups while it runs, or refused if nothing can enforce it", async () => {
  await using world = makeWorld();
  const before = lookAtMachine();
  for (const [limits, controller, ...expected] of VALUES) {
    if (has(controller)) await assertInForce(world, limits, controller, expected);
    else assert.match((await refusal(world, { limits })).code, /^(controller|cgroups)-missing$/);
  }
  assertUnchanged(before);
});

Deno.test("run with limits: the limit on memory and swap together is in force, or refused if the kernel does not count swap", async () => {
  await using world = makeWorld();
  for (const [limits, ...expected] of SWAP) {
    if (!has("memory")) assert.equal((await refusal(world, { limits })).code, "controller-missing");
    else if (host.swapAccounting) await assertInForce(world, limits, "memory", expected);
    else assert.equal((await refusal(world, { limits })).code, "swap-accounting-missing");
  }
});

Deno.test("run with limits: all limits together hold for the command and the processes that it starts", async () => {
  await using world = makeWorld();
  const limits = { cpuShares: 512, cpus: 0.5, memory: 64 * MiB, pids: 50, ...pinned() };
  const options = { ...world.folders, limits, init: true, stdout: "piped" } as const;
  await using container = await run("busybox", ["sh", "-c", "sleep 1000 & echo $!; wait"], options);
  await container.stdout.getReader().read();
  const group = groupOf(container.pid, "memory");
  const count = (): number => Deno.readTextFileSync(`${group}/cgroup.procs`).trim().split("\n").length;
  assert.equal(count(), 3, "init, the shell and sleep");
  for (const controller of ["cpu", "memory", "pids"] as const) {
    assert.match(groupOf(container.pid, controller), /\/sauropod-[0-9a-f]{12}\/inner$/);
  }
});

Deno.test("two containers with 200 and 400 CPU shares on one CPU get it about 1:2", async () => {
  await using world = makeWorld();
  await using one = await busy(world, { cpuShares: 200, ...pinned() });
  await using two = await busy(world, { cpuShares: 400, ...pinned() });
  const start = [cpuTime(one.pid), cpuTime(two.pid)] as const;
  const used = (): [number, number] => [cpuTime(one.pid) - start[0], cpuTime(two.pid) - start[1]];
  await until("2 s of CPU time used", () => used()[0] + used()[1] >= 2);
  const [less, more] = used();
  assert(more / less > 1.5 && more / less < 2.7, `${less} s and ${more} s`);
});

Deno.test("run --cpus 0.05: a container gets no more of a CPU, even of a busy one", async () => {
  await using world = makeWorld();
  await using container = await busy(world, { cpus: 0.05 });
  const [cpu, wall] = [cpuTime(container.pid), performance.now()];
  // Long enough for clocks that count in ticks; a busy machine only gives it less.
  await until("two seconds have passed", () => performance.now() - wall >= 2000);
  const share = (cpuTime(container.pid) - cpu) * 1000 / (performance.now() - wall);
  assert(share < 0.1, `it got ${share} of a CPU`);
  const statistics = `${groupOf(container.pid, "cpu")}/cpu.stat`;
  await until("throttled", () => Number(/^nr_throttled (\d+)$/m.exec(Deno.readTextFileSync(statistics))?.[1]) > 0);
});

Deno.test({
  name: "a pinned container runs on its CPU only",
  ignore: skipHere("there is no controller cpuset", !has("cpuset")),
  fn: async () => {
    await using world = makeWorld();
    const last = String(navigator.hardwareConcurrency - 1);
    const options = { ...world.folders, limits: { cpusetCpus: last } };
    const { stdout } = await output("busybox", ["grep", "Cpus_allowed_list", "/proc/self/status"], options);
    assert.equal(new TextDecoder().decode(stdout), `Cpus_allowed_list:\t${last}\n`);
  },
});

Deno.test("run with limits: the command line ends a memory hog at its limit with 137 and says why", async () => {
  await using world = makeWorld();
  const { code, stderr } = await world.cli(["--memory", "32m", "--name", "hog", "busybox", ...HOG]);
  assert.equal(code, 137);
  assert.match(stderr, /out of memory.*32 MiB/);
  assert.match((await world.cli(["ps", "-a"])).stdout, /out of memory.*hog/);
});

Deno.test("the library reports a memory hog killed at its limit as oomKilled", async () => {
  await using world = makeWorld();
  const before = lookAtMachine();
  const result = await output("busybox", HOG, { ...world.folders, limits: { memory: 32 * MiB } });
  const { success, code, signal, oomKilled } = result;
  assert.deepEqual({ success, code, signal, oomKilled }, { success: false, code: 137, signal: 9, oomKilled: true });
  assertUnchanged(before);
});

Deno.test("run with limits: a hog that is not the first process is reported although the command ends well", async () => {
  await using world = makeWorld();
  const command = ["sh", "-c", `${HOG.join(" ")}; echo then $?`];
  const { code, stdout, oomKilled } = await output("busybox", command, {
    ...world.folders,
    limits: { memory: 32 * MiB },
  });
  assert.deepEqual([code, new TextDecoder().decode(stdout), oomKilled], [0, "then 137\n", true]);
});

Deno.test("a hog within its limit and a container killed by a signal are no out-of-memory cases", async () => {
  await using world = makeWorld();
  const options = { ...world.folders, limits: { memory: 400 * MiB } };
  const { code, oomKilled } = await output("busybox", HOG, options);
  assert.deepEqual([code, oomKilled], [0, false]);
  await using container = await run("busybox", ["sleep", "1000"], options);
  container.kill("SIGKILL");
  const status = await container.status;
  assert.deepEqual([status.code, status.oomKilled], [137, false]);
});

Deno.test("run with limits: a loop that forks is stopped by the limit on processes", async () => {
  await using world = makeWorld();
  const loop = "i=0; while [ $i -lt 60 ]; do sleep 1000 & i=$((i+1)); echo $i; done";
  const { code, stdout, stderr } = await world.cli(["--rm", "--pids-limit", "10", "busybox", "sh", "-c", loop]);
  assert.notEqual(code, 0);
  assert.match(stderr, /can't fork/);
  assert.equal(stdout.trim().split("\n").at(-1), "9", "nine processes beside the shell");
});

const REFUSED = [
  ["--memory", "1m", /6 MiB/],
  ["--memory", "lots", /invalid size "lots"/],
  ["--memory-swap", "64m", /requires --memory/],
  ["--cpus", "0", /from 0.01/],
  ["--pids-limit", "-2", /-1 for unlimited/],
] as const;

Deno.test("run with limits: the command line refuses senseless limits by name, before anything is made", async () => {
  await using world = makeWorld();
  const before = lookAtMachine();
  await Promise.all(REFUSED.map(async ([option, value, reason]) => {
    const { code, stdout, stderr } = await world.cli([option, value, "busybox", "echo", "made"]);
    assert.deepEqual([code, stdout], [125, ""], `${option} ${value}`);
    assert.match(stderr, new RegExp(`\\b${option.slice(2)}\\b`));
    assert.match(stderr, reason);
  }));
  assert.deepEqual([...Deno.readDirSync(world.folders.containers)], []);
  assertUnchanged(before);
});

Deno.test("run with limits: limits out of range, malformed, or at odds with each other or the machine are refused before anything is made", async () => {
  await using world = makeWorld();
  const table: [Limits, RegExp][] = [
    [{ memory: 64 * MiB, memorySwap: 32 * MiB }, /^bad-limit$/],
    [{ memory: 64 * MiB, memoryReservation: 65 * MiB }, /^bad-limit$/],
    [{ memoryReservation: 1024 }, /^bad-limit$/],
    [{ cpuShares: 1 }, /^bad-limit$/],
    [{ cpus: 9000 }, /^bad-limit$/],
    [{ cpus: NaN }, /^bad-limit$/],
    [{ cpusetCpus: "1-0" }, /^bad-limit$/],
    [{ cpusetMems: "zero" }, /^bad-limit$/],
    [{ pids: 2.5 }, /^bad-limit$/],
    [{ pids: Infinity }, /^bad-limit$/],
    [{ cpusetCpus: "4000" }, has("cpuset") ? /^not-in-cpuset$/ : /^controller-missing$/],
    [{ cpusetMems: "500" }, has("cpuset") ? /^not-in-cpuset$/ : /^controller-missing$/],
  ];
  for (const [limits, code] of table) assert.match((await refusal(world, { limits })).code, code);
  assert.deepEqual([...Deno.readDirSync(world.folders.containers)], []);
});

/** Runs the command line where `spoil`, a shell command, has changed the mounts. */
async function spoilt(world: World, spoil: string, words: string[]): Promise<{ code: number; stderr: string }> {
  const script = `${spoil} && exec "$@"`;
  const { code, stderr } = await new Deno.Command("unshare", {
    args: ["--mount", "--propagation", "private", "sh", "-c", script, "sh", ...commandLine(words)],
    env: { SAUROPOD_HOME: world.home },
    cwd: world.home,
    stdin: "null",
  }).output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

Deno.test("run with limits: a limit on a host without control groups is an error, not a silence", async () => {
  await using world = makeWorld();
  const hide = "mount -t tmpfs none /sys/fs/cgroup";
  for (const words of [["--pids-limit", "9"], ["--memory", "32m"]]) {
    const { code, stderr } = await spoilt(world, hide, [...words, "busybox", "true"]);
    assert.equal(code, 125);
    assert.match(stderr, new RegExp(`cannot apply ${words[0]}: no control groups are mounted for the \\w+ controller`));
  }
  assert.deepEqual([...Deno.readDirSync(world.folders.containers)], []);
  const { code, stderr } = await spoilt(world, hide, ["--rm", "busybox", "true"]);
  assert.deepEqual([code, stderr], [0, ""], "without a limit it runs");
});

Deno.test({
  name: "run with limits: a limit whose own controller is nowhere is an error while the others work",
  ignore: skipHere("the controller pids is not of v1", host.controllers.get("pids")?.version !== 1),
  fn: async () => {
    await using world = makeWorld();
    const hide = `umount ${host.controllers.get("pids")?.mount}`;
    const { code, stderr } = await spoilt(world, hide, ["--pids-limit", "9", "busybox", "true"]);
    assert.equal(code, 125);
    assert.match(stderr, /cannot apply --pids-limit: no.* pids controller/);
    const other = await spoilt(world, hide, ["--rm", "--memory", "32m", "busybox", "true"]);
    assert.deepEqual(other, { code: 0, stderr: "" });
  },
});

Deno.test("a limit where control groups are read-only is an error", async () => {
  await using world = makeWorld();
  const mount = host.controllers.get("memory")?.mount;
  const { code, stderr } = await spoilt(world, `mount -o remount,bind,ro ${mount}`, [
    "--memory",
    "32m",
    "busybox",
    "true",
  ]);
  assert.equal(code, 125);
  assert.match(stderr, /cannot apply --memory: .* is mounted read-only/);
});

Deno.test("run with limits: a container's group goes below the parent that the user names, and only if that exists", async () => {
  await using world = makeWorld();
  const mount = host.controllers.get("memory")?.mount;
  const parent = `sauropod-parent-${Deno.pid}`;
  const limits = { memory: 32 * MiB };
  const before = lookAtMachine();
  assert.match(
    (await refusal(world, { limits, cgroupParent: parent })).message,
    /control group.*ENOENT|cgroup.*ENOENT/,
  );
  assertUnchanged(before);
  Deno.mkdirSync(`${mount}/${parent}`);
  try {
    await using container = await run("busybox", ["sleep", "1000"], { ...world.folders, limits, cgroupParent: parent });
    assert.match(groupOf(container.pid, "memory"), new RegExp(`/${parent}/sauropod-[0-9a-f]{12}/inner$`));
  } finally {
    Deno.removeSync(`${mount}/${parent}`);
  }
  assertUnchanged(before);
});
