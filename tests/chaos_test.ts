/** kill -9 of anything at any moment: what is said of containers afterwards is right, and nothing is left of them. */

import assert from "node:assert/strict";
import { exec, runDetached, start, stop, wait } from "../mod.ts";
import { isGone } from "../lib/cgroup/usage.ts";
import { listContainers } from "../lib/container/names.ts";
import { bootId, type ContainerRecord, formatMark, markProcess, statusOf } from "../lib/container/record.ts";
import { flags } from "../ffi/flags.ts";
import { AT_FDCWD, close, lock, openAt } from "../ffi/fs.ts";
import { clearLiveness, livenessOf, removeContainer } from "../lib/container/store.ts";
import {
  assertApart,
  assertNothingLeft,
  groupsOf,
  inspect,
  leftIn,
  logged,
  lookApart,
  monitorsOf,
  pids,
  processesWith,
  until,
  wordsOf,
} from "./helpers/life.ts";
import { randomFrom } from "./helpers/tar.ts";
import { commandLine, makeWorld, type World } from "./helpers/world.ts";

const SEED = 20_261_124, ROUNDS = 200, LANES = 4, ROUNDS_TO_GC = 5;
const SIGKILL = 9;

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

let next = 400_000_000 + Deno.pid * 10_000;
function marker(): string {
  return String(next++);
}

/** A folder of containers of its own, in which rounds follow each other. */
interface Lane {
  readonly world: World;
  readonly random: () => number;
  /** How long the command line usually takes, in milliseconds. */
  readonly usual: number;
  /** What happened, for a failure's message. */
  readonly story: string[];
  /** How often each outcome was met. */
  readonly met: Map<string, number>;
}

/** How the round's container was made. */
interface Kind {
  readonly name: string;
  readonly seconds: string;
  readonly keep: boolean;
  readonly init: boolean;
  readonly limited: boolean;
  readonly bridged: boolean;
  readonly restart: boolean;
}

function chance(random: () => number, of: number): boolean {
  return random() < of;
}

function kindOf(random: () => number, round: number): Kind {
  const keep = chance(random, 0.6);
  return {
    name: `round-${round}`,
    seconds: marker(),
    keep,
    init: chance(random, 0.3),
    limited: chance(random, 0.2),
    bridged: chance(random, 0.25),
    restart: keep && chance(random, 0.3),
  };
}

function script({ seconds }: Kind): string[] {
  return ["sh", "-c", `trap 'exit 5' TERM; echo begin; sleep ${seconds} & wait`];
}

function wordsFor(kind: Kind): string[] {
  const { name, keep, init, limited, bridged, restart } = kind;
  return [
    ...["run", "-d", "--name", name],
    ...(keep ? [] : ["--rm"]),
    ...(init ? ["--init"] : []),
    ...(limited ? ["-m", "64m", "--pids-limit", "50"] : []),
    ...(bridged ? [] : ["--network", "none"]),
    ...(restart ? ["--restart", "always"] : []),
    ...["busybox", ...script(kind)],
  ];
}

function runOne({ world }: Lane, kind: Kind): Promise<string> {
  const { name, keep, init, limited, bridged, restart } = kind;
  return runDetached("busybox", script(kind), {
    ...world.folders,
    ...(bridged ? {} : { network: "none" }),
    ...(limited ? { limits: { memory: 64 << 20, pids: 50 } } : {}),
    ...(restart ? { restart: "always" } : {}),
    ...{ name, keep, init },
  });
}

function find({ world }: Lane, { name }: Kind): ContainerRecord | undefined {
  return listContainers(world.folders.containers).find((record) => record.name === name);
}

function statusIn({ world: { folders } }: Lane, record: ContainerRecord): string {
  return statusOf(record, livenessOf(folders.containers, record.id));
}

/** Starts the command line and kills it at a random moment, often just when it begins to change something. */
async function killInMidst(lane: Lane, words: readonly string[]): Promise<void> {
  const { world, random, usual } = lane;
  const [program = "", ...args] = commandLine(words);
  const child = new Deno.Command(program, {
    args,
    cwd: world.home,
    env: { SAUROPOD_HOME: world.home },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  let ended = false;
  child.status.then(() => ended = true);
  if (chance(random, 0.5)) await new Promise((resolve) => setTimeout(resolve, usual * (0.3 + random())));
  else {
    const look = (): string => JSON.stringify([...Deno.readDirSync(`${world.folders.containers}/.live`)]);
    const before = look();
    const end = performance.now() + usual * 2;
    while (!ended && look() === before && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    const moment = performance.now() + random() * usual * 0.12;
    while (performance.now() < moment);
  }
  try {
    child.kill("SIGKILL");
  } catch (error) {
    // It has just ended.
    if (!(error instanceof TypeError)) throw error;
  }
  const { signal } = await child.status;
  lane.story.push(`  ${words.join(" ")}: ${signal ?? "had ended"}`);
}

/** Processes of a container: those that sleep for it. */
function sleepers({ seconds }: Kind): number {
  return processesWith(seconds).filter((pid) => wordsOf(pid)[0] === "sleep").length;
}

type Check = () => void | Promise<void>;

/** One of these statuses, with one of these exit codes; processes and monitors are as the status says. */
function is(lane: Lane, kind: Kind, allowed: readonly string[]): Check {
  return () => {
    const record = find(lane, kind);
    const { ended } = record ?? {};
    const status = record ? statusIn(lane, record) : "gone";
    const seen = status === "exited" ? `exited ${ended?.code}${ended?.lost ? " lost" : ""}` : status;
    lane.met.set(seen, (lane.met.get(seen) ?? 0) + 1);
    assert(allowed.includes(seen), `${kind.name} is ${seen}, not one of: ${allowed.join(", ")}`);
    const alive = status === "running" ? 1 : 0;
    assert.equal(sleepers(kind), alive, `processes of ${kind.name}, which is ${seen}`);
    assert.equal(record ? monitorsOf(lane.world, record.id).length : 0, alive, `monitors of ${kind.name}: ${seen}`);
    if (!record || !leftIn(lane.world).includes(`${record.id}/log`)) return;
    const log = text(logged(lane.world, record.id, "stdout"));
    assert.match(log, /^(begin\n)*$/, `the log of ${kind.name}`);
    if (alive) assert.match(log, /begin/);
  };
}

const LOST = "exited 137 lost", KILLED = "exited 137";

/** What can be killed. Each makes a container, kills something, and returns what must hold after the next `gc`. */
const ROUNDS_OF: readonly ((lane: Lane, kind: Kind) => Promise<Check>)[] = [
  async function runCommand(lane, kind) {
    await killInMidst(lane, wordsFor(kind));
    return is(lane, kind, kind.keep ? ["gone", "running", LOST] : ["gone", "running"]);
  },
  async function startCommand(lane, wished) {
    const kind = { ...wished, keep: true };
    const id = await runOne(lane, kind);
    await begun(lane, id);
    await stop(id, { ...lane.world.folders, timeout: 1 });
    await killInMidst(lane, ["start", kind.name]);
    return is(lane, kind, ["exited 5", "running", LOST]);
  },
  async function stopCommand(lane, kind) {
    await begun(lane, await runOne(lane, kind));
    await killInMidst(lane, ["stop", "-t", String(Math.floor(lane.random() * 2)), kind.name]);
    // What it has begun goes on without it.
    await until("settled", () => !isLeaving(lane, kind));
    return is(lane, kind, kind.keep ? ["running", "exited 5", KILLED] : ["running", "gone"]);
  },
  async function execCommand(lane, kind) {
    const id = await runOne(lane, kind), seconds = marker();
    await killInMidst(lane, ["exec", kind.name, "sleep", seconds]);
    await until("the command gone", () => processesWith(seconds).length === 0);
    assert.equal(livenessOf(lane.world.folders.containers, id) === undefined, false);
    return is(lane, kind, ["running"]);
  },
  async function removeCommand(lane, kind) {
    await begun(lane, await runOne(lane, kind));
    await killInMidst(lane, ["rm", "-f", kind.name]);
    await until("settled", () => !isLeaving(lane, kind));
    return is(lane, kind, kind.keep ? ["running", "gone", KILLED, LOST] : ["running", "gone"]);
  },
  async function monitor(lane, kind) {
    const id = await runOne(lane, kind);
    await pauseAtRandom(lane);
    for (const pid of monitorsOf(lane.world, id)) Deno.kill(pid, "SIGKILL");
    await until("its processes gone", () => sleepers(kind) === 0 && monitorsOf(lane.world, id).length === 0);
    return is(lane, kind, kind.keep ? [LOST] : ["gone"]);
  },
  async function firstProcess(lane, kind) {
    const id = await runOne(lane, kind);
    await begun(lane, id);
    const { process } = livenessOf(lane.world.folders.containers, id) ?? assert.fail();
    assert.equal(wordsOf(process?.pid ?? 0)[0], kind.init ? "sauropod-init" : "sh");
    Deno.kill(process?.pid ?? 0, "SIGKILL");
    await until("settled", () => find(lane, kind)?.state?.restarts === 1 || monitorsOf(lane.world, id).length === 0);
    if (kind.restart) await until("asleep", () => sleepers(kind) === 1);
    return is(lane, kind, kind.restart ? ["running"] : kind.keep ? [KILLED] : ["gone"]);
  },
  async function commandBehindInit(lane, wished) {
    const kind = { ...wished, init: true, restart: false };
    const id = await runOne(lane, kind);
    await begun(lane, id);
    const { process } = livenessOf(lane.world.folders.containers, id) ?? assert.fail();
    const children = Deno.readTextFileSync(`/proc/${process?.pid}/task/${process?.pid}/children`).trim().split(" ");
    Deno.kill(Number(children[0]), "SIGKILL");
    await until("ended", () => monitorsOf(lane.world, id).length === 0);
    return is(lane, kind, kind.keep ? [KILLED] : ["gone"]);
  },
  async function executed(lane, kind) {
    const id = await runOne(lane, kind), seconds = marker();
    await using process = await exec(id, ["sleep", seconds], lane.world.folders);
    Deno.kill(process.pid, "SIGKILL");
    assert.deepEqual(await process.status, { success: false, code: 128 + SIGKILL, signal: SIGKILL });
    return is(lane, kind, ["running"]);
  },
  async function monitorInRestart(lane, wished) {
    const kind = { ...wished, keep: true, restart: true };
    const id = await runDetached("busybox", ["sh", "-c", "echo begin"], {
      ...lane.world.folders,
      ...{ network: "none", name: kind.name, keep: true, restart: "always" },
    });
    await new Promise((resolve) => setTimeout(resolve, lane.random() * 400));
    for (const pid of monitorsOf(lane.world, id)) Deno.kill(pid, "SIGKILL");
    await until("gone", () => monitorsOf(lane.world, id).length === 0);
    return is(lane, kind, [LOST]);
  },
];

/** Waits until the container has begun to run its script. */
function begun({ world }: Lane, id: string): Promise<void> {
  return until("begun", () => text(logged(world, id, "stdout")).includes("begin"));
}

async function pauseAtRandom({ random }: Lane): Promise<void> {
  if (chance(random, 0.5)) await new Promise((resolve) => setTimeout(resolve, random() * 30));
}

/** Whether a monitor is about to end its container, or to take its files away. */
function isLeaving(lane: Lane, kind: Kind): boolean {
  const record = find(lane, kind);
  if (!record) return monitorsOf(lane.world).some((pid) => isRemoving(lane, pid));
  const owner = livenessOf(lane.world.folders.containers, record.id)?.owner;
  return owner !== undefined && statusIn(lane, record) === "exited" && monitorsOf(lane.world, record.id).length > 0;
}

function isRemoving({ world }: Lane, monitor: number): boolean {
  return !listContainers(world.folders.containers).some(({ id }) => monitorsOf(world, id).includes(monitor));
}

/** What the test process itself must not collect. */
function own(): { open: number; zombies: number[] } {
  const zombies = pids().filter((pid) => {
    try {
      const [state, parent] = Deno.readTextFileSync(`/proc/${pid}/stat`).split(") ")[1]?.split(" ") ?? [];
      return state === "Z" && parent === String(Deno.pid);
    } catch {
      return false;
    }
  });
  return { open: [...Deno.readDirSync("/proc/self/fd")].length, zombies };
}

function leases(): string[] {
  const [, inode = ""] = /\[(\d+)\]/.exec(Deno.readLinkSync("/proc/self/ns/net")) ?? [];
  try {
    return Deno.readTextFileSync(`/run/sauropod/net-${inode}/leases`).split("\n").slice(0, -1);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

async function cli(world: World, ...words: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await world.cli(words);
  assert.deepEqual([code, stderr], [0, ""], words.join(" "));
  return stdout;
}

/** Runs rounds one after the other, and now and then `gc` with a look at what it has found. */
async function play(lane: Lane, rounds: readonly number[]): Promise<string[]> {
  const { world, random, story } = lane, ids: string[] = [];
  for (let first = 0; first < rounds.length; first += ROUNDS_TO_GC) {
    const checks: Check[] = [];
    for (const round of rounds.slice(first, first + ROUNDS_TO_GC)) {
      const play = ROUNDS_OF[round % ROUNDS_OF.length] ?? assert.fail();
      const kind = kindOf(random, round);
      story.push(`${round} ${play.name} ${JSON.stringify(kind)}`);
      checks.push(await play(lane, kind));
    }
    await cli(world, "gc");
    for (const check of checks) await check();
    ids.push(...listContainers(world.folders.containers).map(({ id }) => id));
    await cli(world, "rm", "-f", "--all");
    assertNothingLeft(world);
  }
  return ids;
}

Deno.test(`${ROUNDS} times kill -9 of commands, monitors, first and other processes: all is told right, nothing is left`, async () => {
  await using first = makeWorld();
  const begin = performance.now();
  await cli(first, "run", "--rm", "--name", "first", "busybox", "true");
  const usual = performance.now() - begin;
  // The process's own event source, network lock and namespace stay open.
  const options = { ...first.folders, name: "warm", init: true };
  const warm = await runDetached("busybox", ["sleep", "1000"], options);
  await (await exec(warm, ["sleep", "0.5"], first.folders)).status;
  await cli(first, "rm", "-f", "warm");
  const before = { machine: lookApart(), own: own() };

  const lanes = Array.from({ length: LANES }, (_, i): Lane => ({
    world: makeWorld(),
    random: randomFrom(SEED + i),
    usual,
    story: [],
    met: new Map(),
  }));
  for (const { world } of lanes) Deno.mkdirSync(`${world.folders.containers}/.live`, { mode: 0o700 });
  const rounds = Array.from({ length: ROUNDS }, (_, round) => round);
  let failed: unknown;
  const ids = await Promise.all(
    lanes.map((lane, i) =>
      play(lane, rounds.filter((round) => Math.floor(round / ROUNDS_TO_GC) % LANES === i)).catch((error) => {
        failed ??= error;
        console.error(lane.story.slice(-2 * ROUNDS_TO_GC).join("\n"));
        return [];
      })
    ),
  );
  for (const { world } of lanes) {
    await world.cli(["rm", "-f", "--all"]);
    await world[Symbol.asyncDispose]();
  }
  if (failed) throw failed;
  const met = new Map<string, number>();
  for (const lane of lanes) for (const [what, times] of lane.met) met.set(what, (met.get(what) ?? 0) + times);
  for (const outcome of ["gone", "running", LOST, KILLED, "exited 5"]) {
    assert((met.get(outcome) ?? 0) > 0, `${outcome} was never met: ${JSON.stringify([...met])}`);
  }
  assert.deepEqual(groupsOf(ids.flat()), []);
  await cli(first, "gc");
  assert.deepEqual(leases(), []);
  assertApart(before.machine);
  assert.deepEqual(own(), before.own);
});

Deno.test("after a reboot nobody is taken for whom the numbers are now; containers are lost, and start again", async () => {
  await using world = makeWorld();
  const { containers } = world.folders;
  const options = { ...world.folders, network: "none", keep: true };
  const before = lookApart();
  const self = markProcess(Deno.pid) ?? assert.fail();
  // A process of somebody else's, with the number that a container's had.
  const stranger = new Deno.Command("sleep", { args: ["1000"] }).spawn();
  const theirs = markProcess(stranger.pid) ?? assert.fail();
  const otherBoot = (mark: string): string => mark.replace(bootId(), "0badb007");
  const later = (pid: number): string => formatMark({ pid, startTime: 1 });
  const marks: [owner: string, process: string][] = [
    [otherBoot(formatMark(self)), otherBoot(formatMark(theirs))],
    [otherBoot(formatMark(theirs)), otherBoot(formatMark(theirs))],
    [later(Deno.pid), later(stranger.pid)],
    [formatMark({ pid: 4_194_304, startTime: 5 }), formatMark({ pid: 4_194_304, startTime: 5 })],
  ];
  const ids: string[] = [];
  for (const [i, [owner, process]] of marks.entries()) {
    const id = await runDetached("busybox", ["sh", "-c", "echo x >>/n; sleep 1000"], {
      ...options,
      ...(i === 0 ? { name: "named", limits: { memory: 64 << 20 } } : {}),
      ...(i === 1 ? { keep: false } : {}),
    });
    ids.push(id);
    await cli(world, "exec", id, "sh", "-c", "until [ -s /n ]; do sleep 0.01; done");
    monitorsOf(world, id).forEach((pid) => Deno.kill(pid, "SIGKILL"));
    await until("gone", () => monitorsOf(world, id).length === 0);
    for (const [name, mark] of [[id, owner], [`${id}.process`, process]] as const) {
      Deno.removeSync(`${containers}/.live/${name}`);
      Deno.symlinkSync(mark, `${containers}/.live/${name}`);
    }
  }
  // A boot empties /run and the control groups.
  groupsOf(ids).forEach((path) => Deno.removeSync(path));
  const [first = "", removed = "", ...others] = ids;
  assert.match(await cli(world, "ps", "-a"), /lost .*named\n/);
  assert.deepEqual(leftIn(world).filter((path) => path.startsWith(".live") || path.startsWith(removed)), []);
  assert.equal(markProcess(stranger.pid)?.startTime, theirs.startTime, "the stranger lives");
  for (const id of [first, ...others]) {
    const record = listContainers(containers).find((one) => one.id === id);
    assert.deepEqual([record?.ended?.code, record?.ended?.lost], [137, true]);
    await start(id, world.folders);
    const lines = "until [ $(wc -l </n) -ge 2 ]; do sleep 0.01; done; wc -l /n";
    assert.equal((await cli(world, "exec", id, "sh", "-c", lines)).trim(), "2 /n");
  }
  stranger.kill("SIGKILL");
  await stranger.status;
  await cli(world, "rm", "-f", "--all");
  assertNothingLeft(world);
  assertApart(before);
});

Deno.test("a monitor whose command was killed does not take back what another has taken away", async () => {
  await using world = makeWorld();
  const { containers } = world.folders;
  // The command dies at a random moment, and others clean up at once: they and the monitor want the same container.
  const random = randomFrom(SEED), seconds = marker();
  await cli(world, "run", "--rm", "--network", "none", "busybox", "true");
  for (let round = 0; round < 12; round++) {
    const lane: Lane = { world, random, usual: 100, story: [], met: new Map() };
    const keep = round % 2 === 0;
    const words = ["run", "-d", "--name", "contested", ...(keep ? [] : ["--rm"]), "--network", "none"];
    await killInMidst(lane, [...words, "busybox", "sleep", seconds]);
    await Promise.all([world.cli(["gc"]), world.cli(["gc"])]);
    await until("settled", () => monitorsOf(world).length === processesWith(seconds).filter(isSleep).length);
    const [record] = listContainers(containers);
    const status = record ? statusOf(record, livenessOf(containers, record.id)) : "gone";
    assert.equal(processesWith(seconds).filter(isSleep).length, status === "running" ? 1 : 0, `${round}: ${status}`);
    await cli(world, "rm", "-f", "--all");
    assertNothingLeft(world);
  }
});

/** Keeps all marks from changing hands during `work`. */
async function whileNoMarkMoves(world: World, work: () => Promise<void>): Promise<void> {
  const fd = openAt(AT_FDCWD, `${world.folders.containers}/.live`, flags("O", "RDONLY", "DIRECTORY"));
  lock(fd, "exclusive");
  try {
    await work();
  } finally {
    close(fd);
  }
}

function moveMark(world: World, id: string, mark: string): void {
  Deno.removeSync(`${world.folders.containers}/.live/${id}`);
  Deno.symlinkSync(mark, `${world.folders.containers}/.live/${id}`);
}

Deno.test("a monitor leaves a container alone that another took while it was about to", async () => {
  await using world = makeWorld();
  const live = `${world.folders.containers}/.live`, seconds = marker();
  await cli(world, "run", "--rm", "--network", "none", "busybox", "true");
  const own = formatMark(markProcess(Deno.pid) ?? assert.fail());
  const begin = async (): Promise<[command: Deno.ChildProcess, id: string]> => {
    const child = world.start(["run", "-d", "--network", "none", "busybox", "sleep", seconds]);
    await until("waiting", () => monitorsOf(world).length === 1);
    const [id = ""] = [...Deno.readDirSync(live)].map(({ name }) => name);
    return [child, id];
  };
  let id = "";
  await whileNoMarkMoves(world, async () => {
    const [command, found] = await begin();
    id = found;
    command.kill("SIGKILL");
    await command.output();
    moveMark(world, id, own);
  });
  await until("its monitor gone", () => monitorsOf(world).length === 0);
  assert.equal(Deno.readLinkSync(`${live}/${id}`), own);
  assert.deepEqual(processesWith(seconds), []);
  clearLiveness(world.folders.containers, id);
  await cli(world, "rm", id);

  // If nobody has taken it, the container lives although its command is gone.
  await whileNoMarkMoves(world, async () => {
    const [command, found] = await begin();
    id = found;
    command.kill("SIGKILL");
    await command.output();
  });
  await until("running", () => processesWith(seconds).length === 1);
  assert.match(await cli(world, "ps"), new RegExp(`${id} .*running`));
  await cli(world, "rm", "-f", id);
  assertNothingLeft(world);
});

Deno.test("nobody gets the address of a container whose command was killed before it had its interface", async () => {
  await using world = makeWorld();
  await using other = makeWorld();
  const before = lookApart();
  const options = { ...other.folders, keep: true };
  await cli(world, "run", "--rm", "busybox", "true");
  let second: Promise<string> | undefined, isSecond = false;
  await whileNoMarkMoves(world, async () => {
    const command = world.start(["run", "-d", "--name", "first", "busybox", "sleep", "1000"]);
    await until("waiting", () => monitorsOf(world).length === 1);
    command.kill("SIGKILL");
    await command.output();
    second = runDetached("busybox", ["sleep", "1000"], options).finally(() => isSecond = true);
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert(!isSecond, "it waits until the first has its address");
  });
  const [first, next] = [await inspect(world, "first"), await inspect(other, await second ?? assert.fail())];
  const addresses = [first, next].map(({ networks }) => networks?.[0]?.addresses[0]);
  assert.equal(new Set(addresses).size, 2, String(addresses));
  await until("running", async () => (await inspect(world, "first")).status === "running");
  await cli(world, "rm", "-f", "first");
  await cli(other, "rm", "-f", "--all");
  assertNothingLeft(world);
  assertApart(before);
});

Deno.test("gc leaves a container alone that another took while it was about to", async () => {
  await using world = makeWorld();
  const { containers } = world.folders;
  const options = { ...world.folders, network: "none", limits: { pids: 20 } };
  const ids = [await runDetached("busybox", ["sleep", "1000"], options)];
  ids.push(await runDetached("busybox", ["sleep", "1000"], { ...options, keep: true }));
  monitorsOf(world).forEach((pid) => Deno.kill(pid, "SIGKILL"));
  await until("gone", () => monitorsOf(world).length === 0);
  const own = formatMark(markProcess(Deno.pid) ?? assert.fail());
  let result: ReturnType<World["cli"]> | undefined;
  await whileNoMarkMoves(world, async () => {
    result = world.cli(["gc"]);
    await new Promise((resolve) => setTimeout(resolve, 500));
    ids.forEach((id) => moveMark(world, id, own));
  });
  assert.deepEqual(await result, { code: 0, stdout: "", stderr: "" });
  assert.deepEqual(listContainers(containers).map(({ id, ended }) => [id, ended]), ids.map((id) => [id, undefined]));
  assert.notDeepEqual(groupsOf(ids), []);
  // Nobody else may remove it either, until we let go of it.
  const [stranger, first = ""] = [new Deno.Command("sleep", { args: ["1000"] }).spawn(), ...ids];
  moveMark(world, first, formatMark(markProcess(stranger.pid) ?? assert.fail()));
  assert.equal(await removeContainer(containers, { id: first }), false);
  assert(listContainers(containers).some(({ id }) => id === first));
  stranger.kill("SIGKILL");
  await stranger.status;
  ids.slice(1).forEach((id) => moveMark(world, id, "0badb007 1.1"));
  await cli(world, "gc");
  await cli(world, "rm", "-f", "--all");
  assertNothingLeft(world);
});

Deno.test("a control group that is removed while it is being looked at is gone, and no error", async () => {
  await using world = makeWorld();
  const options = { ...world.folders, network: "none", limits: { pids: 20 }, keep: true };
  const id = await runDetached("busybox", ["sleep", "1000"], options);
  const [group = ""] = groupsOf([id]);
  using file = Deno.openSync(`${group}/cgroup.procs`);
  await cli(world, "rm", "-f", id);
  assert.throws(() => file.readSync(new Uint8Array(10)), isGone);
  assertNothingLeft(world);
});

function isSleep(pid: number): boolean {
  return wordsOf(pid)[0] === "sleep";
}

Deno.test("wait tells that a container was lost whose monitor was killed", async () => {
  await using world = makeWorld();
  const id = await runDetached("busybox", ["sleep", "1000"], { ...world.folders, network: "none", keep: true });
  const waiting = wait(id, world.folders);
  const other = cli(world, "wait", id);
  await new Promise((resolve) => setTimeout(resolve, 300));
  monitorsOf(world, id).forEach((pid) => Deno.kill(pid, "SIGKILL"));
  assert.equal(await waiting, 137);
  assert.equal(await other, "137\n");
  await cli(world, "rm", id);
  assertNothingLeft(world);
});
