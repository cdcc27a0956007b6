/** Forks and commits that are killed while the original is frozen, or meet other commands then. */

import assert from "node:assert/strict";
import {
  assertApart,
  assertNothingLeft,
  clear,
  inspect,
  leftIn,
  lookApart,
  stateOf,
  until,
} from "../../helpers/life.ts";
import { makeWorld, type World } from "../../helpers/world.ts";

// Enough files that a copy of them can be met half-way.
const FILES = 8000;
const COUNTER = `mkdir /d && cd /d && seq ${FILES} | xargs touch; i=0; while :; do i=$((i+1)); echo $i > /count; done`;

/** A world with a container that counts and has changed many files. */
async function inWorld(work: (world: World, id: string) => Promise<void>): Promise<void> {
  await using world = makeWorld();
  const before = lookApart();
  try {
    const words = ["run", "-d", "--name", "a", "--network", "none", "busybox", "sh", "-c", COUNTER];
    const { code, stdout, stderr } = await world.cli(words);
    assert.equal(code, 0, stderr);
    const id = stdout.trim();
    await until("it counts", () => countOf(world, id) > 0);
    await work(world, id);
  } finally {
    await world.cli(["rm", "-f", "--all"]);
  }
  assert.equal((await world.cli(["gc"])).code, 0);
  assert.deepEqual(leftIn(world).filter((path) => !path.startsWith(".layers") || path.length > 13), []);
  Deno.removeSync(`${world.folders.containers}/.layers`, { recursive: true });
  await clear(world);
  assertNothingLeft(world);
  assertApart(before);
}

function countOf(world: World, id: string): number {
  try {
    return Number(Deno.readTextFileSync(`${world.folders.containers}/${id}/upper/count`));
  } catch {
    return 0;
  }
}

async function goesOn(world: World, id: string): Promise<void> {
  const before = countOf(world, id);
  await until("it counts on", () => countOf(world, id) > before);
}

async function stands(world: World, id: string): Promise<boolean> {
  const before = countOf(world, id);
  await new Promise((resolve) => setTimeout(resolve, 100));
  return countOf(world, id) === before;
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch {
    return false;
  }
}

/** The layers that are being made, or have been. */
function layersOf({ folders }: World): string[] {
  const folder = `${folders.containers}/.layers`;
  return exists(folder) ? [...Deno.readDirSync(folder)].map(({ name }) => name).filter((name) => name !== ".lock") : [];
}

const FORK = ["fork", "-d", "--name", "other", "--network", "none", "a", "sleep", "1000"];
const COMMIT = ["commit", "a", "image:1"];

/** Whether one of the layers that are not among `before` has some of the container's files, and not all. */
function isCopying(world: World, before: readonly string[]): boolean {
  return layersOf(world).filter((name) => !before.includes(name)).some((name) => {
    try {
      const copied = [...Deno.readDirSync(`${world.folders.containers}/.layers/${name}/diff/d`)].length;
      return copied > 0 && copied < FILES;
    } catch {
      return false;
    }
  });
}

/** As proc_pid_stat(5) has it; `X` of a process that is gone. */
function stateLetter(pid: number): string {
  try {
    return /^State:\t(.)/m.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1] ?? "X";
  } catch {
    return "X";
  }
}

function signal(child: Deno.ChildProcess, name: Deno.Signal): void {
  try {
    child.kill(name);
  } catch {
    // It was quicker.
  }
}

/** Starts a command that copies the container's files, and stops it in the middle. */
async function stopHalfway(world: World, words: readonly string[]): Promise<Deno.ChildProcess> {
  for (let tries = 0; tries < 10; tries++) {
    const before = layersOf(world), child = world.start(words);
    await until("it copies files, or ends", () => "ZX".includes(stateLetter(child.pid)) || isCopying(world, before));
    signal(child, "SIGSTOP");
    await until("it stops or ends", () => "ZXT".includes(stateLetter(child.pid)));
    if (isCopying(world, before)) return child;
    // This machine was too busy to meet it in time.
    signal(child, "SIGCONT");
    const { code, stderr } = await child.output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    await world.cli(["rm", "-f", "other"]);
    assert.equal((await world.cli(["gc"])).code, 0);
  }
  assert.fail("it was never met half-way");
}

for (const [what, words] of [["fork", FORK], ["commit", COMMIT]] as const) {
  Deno.test(`the original of a ${what} that is killed half-way runs again at the next command`, async () => {
    await inWorld(async (world, id) => {
      const child = await stopHalfway(world, words);
      assert(Deno.readLinkSync(`${world.folders.containers}/.live/${id}.freeze`).includes(`${child.pid}.`));
      child.kill("SIGKILL");
      await child.output();
      assert(await stands(world, id), "it is frozen");
      assert.equal((await world.cli(["ps"])).code, 0);
      await goesOn(world, id);
      assert.equal((await inspect(world, "a")).status, "running");
      assert(!exists(`${world.folders.containers}/.live/${id}.freeze`));
      assert.equal((await world.cli(["gc"])).code, 0);
      assert.deepEqual(layersOf(world), []);
    });
  });
}

for (const [what, words] of [["fork", FORK], ["commit", COMMIT]] as const) {
  Deno.test(`the original of a ${what} that is interrupted half-way runs again when that ends`, async () => {
    await inWorld(async (world, id) => {
      const child = await stopHalfway(world, words);
      child.kill("SIGINT");
      child.kill("SIGCONT");
      // It may come when the fork is as good as made.
      const { code } = await child.output();
      assert(code === 130 || (code === 0 && what === "fork"), `it ended with ${code}`);
      await goesOn(world, id);
      await world.cli(["rm", "-f", "other"]);
      assert.equal((await world.cli(["gc"])).code, 0);
      assert.deepEqual(layersOf(world), []);
    });
  });
}

Deno.test("commands that need the original let it run again themselves", async () => {
  await inWorld(async (world, id) => {
    for (
      const next of [["exec", "a", "true"], ["start", "a"], ["pause", "a"], ["run", "--rm", "busybox", "true"], FORK]
    ) {
      const child = await stopHalfway(world, COMMIT);
      child.kill("SIGKILL");
      await child.output();
      const { code, stderr } = await world.cli(next, { env: { SAUROPOD_NETWORK: "none" } });
      if (next[0] !== "start") assert.equal(code, 0, stderr);
      if (next[0] === "pause") assert.equal((await world.cli(["unpause", "a"])).code, 0);
      await goesOn(world, id);
    }
  });
});

Deno.test("a container that the user has paused stays paused when its fork is killed", async () => {
  await inWorld(async (world, id) => {
    assert.equal((await world.cli(["pause", "a"])).code, 0);
    const child = await stopHalfway(world, FORK);
    child.kill("SIGKILL");
    await child.output();
    assert.equal((await world.cli(["gc"])).code, 0);
    assert.equal((await inspect(world, "a")).status, "paused");
    assert(await stands(world, id));
    assert.equal((await world.cli(["unpause", "a"])).code, 0);
    await goesOn(world, id);
  });
});

Deno.test("commands wait for a fork that has frozen the container, and neither end it nor are they ended by it", async () => {
  await inWorld(async (world, id) => {
    const child = await stopHalfway(world, FORK);
    const others = [["exec", "a", "echo", "in"], ["unpause", "a"], ["commit", "a", "image:1"]];
    const results = others.map((words) => world.cli(words));
    // Long enough for them to come to where they wait.
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert(await stands(world, id), "nobody lets it run");
    child.kill("SIGCONT");
    assert.equal((await child.output()).code, 0);
    const [inside, unpaused, commit] = await Promise.all(results);
    assert.deepEqual([inside?.code, inside?.stdout], [0, "in\n"], inside?.stderr);
    assert.equal(unpaused?.code, 1);
    assert.match(unpaused?.stderr ?? "", /is not paused/);
    assert.equal(commit?.code, 0, commit?.stderr);
    await goesOn(world, id);
  });
});

Deno.test("a fork whose original is let run while it copies fails and says so", async () => {
  await inWorld(async (world, id) => {
    const child = await stopHalfway(world, FORK);
    assert.equal((await world.cli(["stop", "-t", "0", "a"])).code, 0);
    child.kill("SIGCONT");
    const { code, stderr } = await child.output();
    assert.equal(code, 125);
    assert.match(new TextDecoder().decode(stderr), /it was stopped or unpaused meanwhile/);
    assert.equal(stateOf(world, id).status, "exited");
    assert.deepEqual((await world.cli(["gc"])).code, 0);
    assert.deepEqual(layersOf(world), []);
  });
});

Deno.test("a fork that is killed at any moment leaves nothing, and the original runs", async () => {
  await inWorld(async (world, id) => {
    const start = performance.now();
    assert.equal((await world.cli(FORK)).code, 0);
    const usual = performance.now() - start;
    assert.equal((await world.cli(["rm", "-f", "other"])).code, 0);
    for (let i = 0; i < 12; i++) {
      const child = world.start(FORK);
      await new Promise((resolve) => setTimeout(resolve, usual * (0.2 + 0.8 * i / 12)));
      signal(child, "SIGKILL");
      await Promise.all([child.status, child.stdout.cancel(), child.stderr.cancel()]);
      assert.equal((await world.cli(["gc"])).code, 0);
      await goesOn(world, id);
      await world.cli(["rm", "-f", "other"]);
      assert.equal((await world.cli(["gc"])).code, 0);
      assert.deepEqual(layersOf(world), [], `round ${i}`);
      const marks = [...Deno.readDirSync(`${world.folders.containers}/.live`)].map(({ name }) => name).sort();
      assert.deepEqual(marks, [id, `${id}.process`]);
    }
  });
});
