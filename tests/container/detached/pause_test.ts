import assert from "node:assert/strict";
import { ContainerError, pause, run, type RunOptions, unpause } from "../../../mod.ts";
import { isPaused, whileFrozen } from "../../../lib/container/state/freeze.ts";
import { processesOf } from "../../../lib/container/stats/processes.ts";
import { readRecord } from "../../../lib/container/state/record.ts";
import { reclaim } from "../../../lib/container/state/reclaim.ts";
import { groupsOf, host } from "../../helpers/groups.ts";
import { converse, host as onHost, lineReader, until } from "../../helpers/inside.ts";
import { hasPython } from "../../helpers/terminal.ts";
import { PROJECT } from "../../helpers/project.ts";
import { makeWorld, type World } from "../../helpers/world.ts";
import { skipHere, skipWithout } from "../../helpers/skip.ts";

// The same tests run on a machine with control groups of v1 only (below), and by v2_test.ts on a pure v2 one.

const COUNTER = "i=0; while :; do i=$((i+1)); echo $i > /count; done";

function recordOf(world: World, id: string): ReturnType<typeof readRecord> & object {
  return readRecord(`${world.folders.containers}/${id}`) ?? assert.fail(`${id} has no record`);
}

/** A number that a container's command writes again and again; it grows as long as the command runs. */
function countOf(world: World, id: string): number {
  try {
    return Number(Deno.readTextFileSync(`${world.folders.containers}/${id}/upper/count`));
  } catch {
    return 0;
  }
}

/** Whether something stays the same, looked at again and again: a file that is being written is empty for moments. */
async function stands(read: () => unknown, looks = 15): Promise<boolean> {
  const before = JSON.stringify(read());
  for (let i = 0; i < looks; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    if (JSON.stringify(read()) !== before) return false;
  }
  return true;
}

async function code(work: Promise<unknown>): Promise<string> {
  return await work.then(() => "", (error) => {
    if (error instanceof ContainerError) return error.code;
    throw error;
  });
}

async function idOf(world: World, name: string): Promise<string> {
  let id = "";
  await until(`${name} runs`, async () => {
    const { stdout } = await world.cli(["inspect", name]);
    const [record] = stdout === "" ? [] : JSON.parse(stdout);
    if (record?.status === "running") id = record.id;
    return id !== "";
  });
  return id;
}

Deno.test("a paused container does nothing until it is unpaused, and ps and inspect say so", async () => {
  await using world = makeWorld();
  await using box = await run("busybox", ["sh", "-c", COUNTER], { ...world.folders, name: "box" });
  await until("it counts", () => countOf(world, box.id) > 10);
  assert.deepEqual(await world.cli(["pause", "box"]), { code: 0, stdout: "box\n", stderr: "" });
  assert(await stands(() => countOf(world, box.id)), "it counts no further");
  const before = countOf(world, box.id);
  assert.match((await world.cli(["ps"])).stdout, / paused +box\n/);
  assert.equal(JSON.parse((await world.cli(["inspect", "box"])).stdout)[0].status, "paused");
  assert.equal(JSON.parse((await world.cli(["ps", "--json"])).stdout)[0].status, "paused");
  assert.deepEqual(await world.cli(["unpause", "box"]), { code: 0, stdout: "box\n", stderr: "" });
  await until("it goes on", () => countOf(world, box.id) > before + 10);
  assert.match((await world.cli(["ps"])).stdout, / running +box\n/);
});

Deno.test("a container that already has limits, or one below a parent, is paused in its place", async () => {
  await using world = makeWorld();
  await using limited = await run("busybox", ["sleep", "1000"], { ...world.folders, limits: { pids: 50 } });
  const had = groupsOf(limited.id);
  await pause(limited, world.folders);
  for (const path of had) assert(groupsOf(limited.id).includes(path));
  await unpause(limited, world.folders);

  const parent = `sauropod-parent-${Deno.pid}`;
  const { mount } = host.unified ?? host.controllers.get("freezer") ?? assert.fail("nothing can freeze");
  Deno.mkdirSync(`${mount}/${parent}`);
  try {
    await using child = await run("busybox", ["sleep", "1000"], { ...world.folders, cgroupParent: parent });
    await pause(child, world.folders);
    assert.deepEqual(groupsOf(child.id, parent), [`${mount}/${parent}/sauropod-${child.id}`]);
    // Hierarchies without the parent have it at the top.
    assert.equal(groupsOf(child.id).length, host.hierarchies.length - 1);
  } finally {
    Deno.removeSync(`${mount}/${parent}`);
  }
});

const FORKS: Record<string, string> = {
  "many at once":
    "i=0; while [ $i -lt 3000 ]; do sleep 0.01 & i=$((i+1)); [ $((i % 40)) = 0 ] && wait; done; sleep 1000",
  // Each process lives just long enough to start the next: whoever looks for it finds it gone.
  "one from the other":
    `echo 'echo $1 > /count; [ $1 -gt 20000 ] || sh /next $(($1+1)) &' > /next; sh /next 1; sleep 1000`,
};

for (const [how, script] of Object.entries(FORKS)) {
  Deno.test(`pause: pausing holds every process of a container that forks, ${how}`, async () => {
    await using world = makeWorld();
    await using box = await run("busybox", ["sh", "-c", script], world.folders);
    const processes = (): number[] => processesOf(box.pid).toArray().sort((a, b) => a - b);
    for (let round = 0; round < 5; round++) {
      await new Promise((resolve) => setTimeout(resolve, 20 + 10 * round));
      await pause(box, world.folders);
      assert(await stands(() => [processes(), countOf(world, box.id)], 5), `round ${round}`);
      for (const pid of processes()) {
        const place = Deno.readTextFileSync(`/proc/${pid}/cgroup`), state = Deno.readTextFileSync(`/proc/${pid}/stat`);
        if (/\) Z/.test(state)) continue;
        assert.match(place, new RegExp(`/sauropod-${box.id}(/inner)?$`, "m"), `process ${pid} is outside`);
      }
      await unpause(box, world.folders);
    }
  });
}

Deno.test("processes in a pid namespace within are paused too", async () => {
  await using world = makeWorld();
  const script = `unshare -p -f sh -c 'echo in; i=0; while :; do i=$((i+1)); echo $i > /count; done'`;
  const options: RunOptions = { capAdd: ["SYS_ADMIN"], stdout: "piped" };
  await using box = await run("busybox", ["sh", "-c", script], { ...world.folders, ...options });
  assert.equal(await lineReader(box.stdout)(), "in");
  await until("it counts", () => countOf(world, box.id) > 10);
  assert.equal(processesOf(box.pid).toArray().length, 2);
  await pause(box, world.folders);
  assert(await stands(() => countOf(world, box.id)));
});

Deno.test({
  name: "a process whose first thread has ended, so that it looks dead, is paused too",
  ignore: skipWithout("python3", hasPython()),
  fn: async () => {
    await using world = makeWorld();
    const count = "i = 0\nwhile True:\n  i += 1\n  open('/count', 'w').write(str(i))";
    const program = `import ctypes, threading
threading.Thread(target=lambda: exec(${JSON.stringify(count)})).start()
ctypes.CDLL(None).syscall(${Deno.build.arch === "x86_64" ? 60 : 93}, 0)`;
    const command = ["sh", "-c", 'python3 -c "$1" & wait; sleep 1000', "sh", program];
    await using box = await run("host", command, world.folders);
    const isZombie = (pid: number): boolean => /\) Z/.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
    await until("its first thread has ended", () => processesOf(box.pid).some(isZombie));
    const before = countOf(world, box.id);
    await until("it counts on", () => countOf(world, box.id) > before + 10);
    await pause(box, world.folders);
    assert(await stands(() => countOf(world, box.id)));
    await unpause(box, world.folders);
  },
});

Deno.test("pause: each command that cannot be obeyed says why, and the others are", async () => {
  await using world = makeWorld();
  await world.cli(["--name", "done", "busybox", "true"]);
  await using one = await run("busybox", ["sleep", "1000"], { ...world.folders, name: "one" });
  await using two = await run("busybox", ["sleep", "1000"], { ...world.folders, name: "two" });
  assert.equal(await code(unpause(one, world.folders)), "container-not-paused");
  await pause(one, world.folders);
  assert.equal(await code(pause(one, world.folders)), "container-paused");
  assert.equal(await code(pause("done", world.folders)), "container-not-running");
  assert.equal(await code(unpause("done", world.folders)), "container-not-running");
  assert.equal(await code(pause("nobody", world.folders)), "container-not-found");
  const result = await world.cli(["pause", "one", "done", "two", "nobody"]);
  assert.deepEqual([result.code, result.stdout], [1, "two\n"]);
  assert.match(result.stderr, new RegExp(`${one.id} is paused[^]* is not running[^]*no such container: nobody`));
  assert(isPaused(recordOf(world, two.id)));
});

Deno.test("a paused container can be removed by force, killed by its holder, and its holder can be killed", async () => {
  await using world = makeWorld();
  const command = ["busybox", "sleep", "1000"];
  const child = world.start(["--name", "forced", ...command]);
  const id = await idOf(world, "forced");
  assert.equal((await world.cli(["pause", "forced"])).code, 0);
  const refused = await world.cli(["rm", "forced"]);
  assert.deepEqual([refused.code, /is paused/.test(refused.stderr)], [1, true]);
  assert.equal((await world.cli(["rm", "--force", "forced"])).code, 0);
  assert.equal((await child.output()).code, 137);
  assert.deepEqual(groupsOf(id), []);

  {
    await using box = await run("busybox", ["sleep", "1000"], world.folders);
    await pause(box, world.folders);
    assert(box.kill("SIGKILL"));
    assert.equal((await box.status).code, 137);
    await using other = await run("busybox", ["sleep", "1000"], world.folders);
    await pause(other, world.folders);
  }

  const holder = world.start(["--name", "held", ...command]);
  const held = await idOf(world, "held");
  const { pid } = JSON.parse((await world.cli(["inspect", "held"])).stdout)[0];
  assert.equal((await world.cli(["pause", "held"])).code, 0);
  holder.kill("SIGKILL");
  // Not all of its output, which its container may hold open: v1 kills nothing that it has frozen.
  await Promise.all([holder.status, holder.stdout.cancel(), holder.stderr.cancel()]);
  await reclaim(world.folders.containers);
  assert.deepEqual(groupsOf(held), []);
  await until("its process is gone", () => {
    try {
      return !Deno.readTextFileSync(`/proc/${pid}/cmdline`).includes("1000");
    } catch {
      return true;
    }
  });
});

Deno.test("freezing for a moment leaves a container as it was found, running or paused", async () => {
  await using world = makeWorld();
  await using box = await run("busybox", ["sleep", "1000"], world.folders);
  const paused = (): boolean => isPaused(recordOf(world, box.id));
  const { containers } = world.folders;
  assert(await whileFrozen(containers, recordOf(world, box.id), paused));
  assert(!paused());
  await pause(box, world.folders);
  assert(await whileFrozen(containers, recordOf(world, box.id), paused));
  assert(paused());
});

Deno.test("commands that pause, unpause and are killed at any moment leave a container that ends without a trace", async () => {
  await using world = makeWorld();
  await using talk = await converse(world, "echo up; while read line; do echo $line; done", { name: "box" });
  const { id } = talk.container;
  assert.equal(await talk.ask(), "up");
  const start = performance.now();
  await world.cli(["pause", "box"]);
  const usual = performance.now() - start;
  for (let i = 0; i < 16; i++) {
    const child = world.start([i % 2 ? "pause" : "unpause", "box"]);
    await new Promise((resolve) => setTimeout(resolve, usual * (0.4 + 0.6 * i / 16)));
    try {
      child.kill("SIGKILL");
    } catch {
      // It was quicker.
    }
    await child.output();
  }
  if (isPaused(recordOf(world, id))) await unpause(id, world.folders);
  assert.equal(await talk.ask("still here"), "still here");
  talk.container.kill("SIGKILL");
  await talk.container.status;
  await until("its groups are gone", () => groupsOf(id).length === 0);
});

Deno.test({
  name: "pause: on a machine with control groups of v1 only every one of these tests passes",
  ignore: skipHere(
    "the layout is not hybrid",
    host.layout !== "hybrid" || host.controllers.get("freezer")?.version !== 1,
  ),
  fn: async () => {
    const script = `umount ${host.unified?.mount} && exec "$@"`;
    const test = [
      Deno.execPath(),
      "test",
      "-A",
      "--no-check",
      "--quiet",
      `${PROJECT}/tests/container/detached/pause_test.ts`,
    ];
    const output = await onHost("unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", ...test);
    assert.match(output, /\| 1[0-9] passed/);
  },
});
