/** Whose a container is: after a reboot, and when several want to take it away. */

import assert from "node:assert/strict";
import { removeGroups } from "../../../lib/cgroup/remove.ts";
import { runDetached, start, wait } from "../../../mod.ts";
import { isGone } from "../../../lib/cgroup/usage.ts";
import { listContainers } from "../../../lib/container/state/names.ts";
import { encodeIdentity, identifyProcess, ownOrigin } from "../../../lib/host/process_identity.ts";
import { statusOf } from "../../../lib/container/state/record.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, lock, openAt } from "../../../ffi/fs/fs.ts";
import { clearOwnership, readOwnership, removeContainer } from "../../../lib/container/state/ownership.ts";
import {
  assertApart,
  assertNothingLeft,
  cli,
  groupsOf,
  inspect,
  leftIn,
  lookApart,
  marker,
  monitorsOf,
  processesWith,
  until,
  wordsOf,
} from "../../helpers/life.ts";
import { randomFrom } from "../../helpers/random.ts";
import { makeWorld, type World } from "../../helpers/world.ts";
import { killInMidst, type Lane } from "../../helpers/kill.ts";

const SEED = 20_261_124;

Deno.test("after a reboot nobody is taken for whom the numbers are now; containers are lost, and start again", async () => {
  await using world = makeWorld();
  const { containers } = world.folders;
  const options = { ...world.folders, network: "none", keep: true };
  const before = lookApart();
  const self = identifyProcess(Deno.pid) ?? assert.fail();
  // A process of somebody else's, with the number that a container's had.
  const stranger = new Deno.Command("sleep", { args: ["1000"] }).spawn();
  const theirs = identifyProcess(stranger.pid) ?? assert.fail();
  const otherBoot = (mark: string): string => mark.replace(ownOrigin().split(".")[1] ?? "", "0badb007");
  const later = (pid: number): string => encodeIdentity({ pid, startTime: 1 });
  const marks: [owner: string, process: string][] = [
    [otherBoot(encodeIdentity(self)), otherBoot(encodeIdentity(theirs))],
    [otherBoot(encodeIdentity(theirs)), otherBoot(encodeIdentity(theirs))],
    [later(Deno.pid), later(stranger.pid)],
    [encodeIdentity({ pid: 4_194_304, startTime: 5 }), encodeIdentity({ pid: 4_194_304, startTime: 5 })],
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
  removeGroups(groupsOf(ids));
  const [first = "", removed = "", ...others] = ids;
  assert.match(await cli(world, "ps", "-a"), /lost .*named$/m);
  assert.deepEqual(leftIn(world).filter((path) => path.startsWith(".live") || path.startsWith(removed)), []);
  assert.equal(identifyProcess(stranger.pid)?.startTime, theirs.startTime, "the stranger lives");
  for (const id of [first, ...others]) {
    const record = listContainers(containers).find((one) => one.id === id);
    assert.deepEqual([record?.ended?.code, record?.ended?.lost], [137, true]);
    await start(id, world.folders);
    const lines = "until [ $(wc -l </n) -ge 2 ]; do sleep 0.01; done; wc -l /n";
    assert.equal(await cli(world, "exec", id, "sh", "-c", lines), "2 /n");
  }
  stranger.kill("SIGKILL");
  await stranger.status;
  await cli(world, "rm", "-f", "--all");
  assertNothingLeft(world);
  assertApart(before);
});

Deno.test("gc: a monitor whose command was killed does not take back what another has taken away", async () => {
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
    const status = record ? statusOf(record, readOwnership(containers, record.id)) : "gone";
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
  Deno.symlinkSync(mark, `${world.folders.containers}/.live/.${id}`);
  Deno.renameSync(`${world.folders.containers}/.live/.${id}`, `${world.folders.containers}/.live/${id}`);
}

Deno.test("gc: a monitor leaves a container alone that another took while it was about to", async () => {
  await using world = makeWorld();
  const live = `${world.folders.containers}/.live`, seconds = marker();
  await cli(world, "run", "--rm", "--network", "none", "busybox", "true");
  const own = encodeIdentity(identifyProcess(Deno.pid) ?? assert.fail());
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
  clearOwnership(world.folders.containers, id);
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

Deno.test("gc: nobody gets the address of a container whose command was killed before it had its interface", async () => {
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
  const own = encodeIdentity(identifyProcess(Deno.pid) ?? assert.fail());
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
  moveMark(world, first, encodeIdentity(identifyProcess(stranger.pid) ?? assert.fail()));
  assert.equal(await removeContainer(containers, { id: first }), false);
  assert(listContainers(containers).some(({ id }) => id === first));
  stranger.kill("SIGKILL");
  await stranger.status;
  ids.slice(1).forEach((id) => moveMark(world, id, `${ownOrigin().replace(/(?<=^\w+\.)\w+/, "0badb007")} 1.1`));
  await cli(world, "gc");
  await cli(world, "rm", "-f", "--all");
  assertNothingLeft(world);
});

Deno.test("gc: a control group that is removed while it is being looked at is gone, and no error", async () => {
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
  assert.equal(await other, "137");
  await cli(world, "rm", id);
  assertNothingLeft(world);
});
