/** kill -9 of anything at any moment: what is said of containers afterwards is right, and nothing is left of them. */

import assert from "node:assert/strict";
import { exec, runDetached, stop } from "../../../mod.ts";
import { listContainers } from "../../../lib/container/state/names.ts";
import { type ContainerRecord, statusOf } from "../../../lib/container/state/record.ts";
import { readOwnership } from "../../../lib/container/state/ownership.ts";
import { text } from "../../helpers/inside.ts";
import {
  assertApart,
  assertNothingLeft,
  cli,
  groupsOf,
  leftIn,
  logged,
  lookApart,
  marker,
  monitorsOf,
  pids,
  processesWith,
  until,
  wordsOf,
} from "../../helpers/life.ts";
import { randomFrom } from "../../helpers/random.ts";
import { makeWorld } from "../../helpers/world.ts";
import { chance, killInMidst, type Lane } from "../../helpers/kill.ts";
import { SIGKILL } from "../../../ffi/process/process.ts";

const SEED = 20_261_124, ROUNDS = 200, LANES = 4, ROUNDS_TO_GC = 5;

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
  return statusOf(record, readOwnership(folders.containers, record.id));
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
    assert.equal(readOwnership(lane.world.folders.containers, id) === undefined, false);
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
    const { process } = readOwnership(lane.world.folders.containers, id) ?? assert.fail();
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
    const { process } = readOwnership(lane.world.folders.containers, id) ?? assert.fail();
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
  const owner = readOwnership(lane.world.folders.containers, record.id)?.owner;
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
