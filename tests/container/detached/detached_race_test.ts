/** Commands that compete for one container. */

import assert from "node:assert/strict";
import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, lock, openAt } from "../../../ffi/fs/fs.ts";
import { writeWithName } from "../../../lib/container/state/names.ts";
import { readRecord } from "../../../lib/container/state/record.ts";
import { create, rename, start } from "../../../mod.ts";
import { text } from "../../helpers/inside.ts";
import {
  assertApart,
  assertNothingLeft,
  clear,
  cli,
  inspect,
  logged,
  lookApart,
  marker,
  monitorsOf,
  processesWith,
  until,
} from "../../helpers/life.ts";
import { makeWorld } from "../../helpers/world.ts";

const NONE = ["--network", "none"];

Deno.test("of five that start one container at once, one does", async () => {
  await using world = makeWorld();
  const ready = await cli(world, "create", ...NONE, "busybox", "sh", "-c", "echo run; sleep 1000");
  const lost = await cli(world, "run", "-d", ...NONE, "-m", "64m", "busybox", "sh", "-c", "echo run; sleep 1000");
  await until("run", () => text(logged(world, lost, "stdout")) === "run\n");
  monitorsOf(world, lost).forEach((pid) => Deno.kill(pid, "SIGKILL"));
  await until("gone", () => monitorsOf(world).length === 0);
  for (const [id, runs] of [[ready, 1], [lost, 2]] as const) {
    const results = await Promise.all(Array.from({ length: 5 }, () => world.cli(["start", id])));
    assert.deepEqual(results.map(({ code }) => code).sort(), [0, 125, 125, 125, 125]);
    for (const { code, stderr } of results) {
      if (code) assert.match(stderr, /cannot start container \w+: (it is running|another command is starting)/);
    }
    await until("run", () => text(logged(world, id, "stdout")) === "run\n".repeat(runs));
    assert.equal((await inspect(world, id)).status, "running", "none has undone what another did");
    assert.equal(monitorsOf(world, id).length, 1);
  }
  await clear(world);
});

Deno.test("start, stop, rm and gc of one container at the same time leave it whole or gone", async () => {
  await using world = makeWorld();
  const before = lookApart();
  for (let round = 0; round < 4; round++) {
    const seconds = marker();
    const id = await create("busybox", ["sleep", seconds], { ...world.folders, network: "none", keep: true });
    const words = [["start", id], ["stop", "-t", "0", id], ["rm", "-f", id], ["gc"], ["start", id], ["rm", "-f", id]];
    const results = await Promise.all(words.slice(round % 2).map((one) => world.cli(one)));
    for (const { stderr } of results) assert.doesNotMatch(stderr, /\.ts:|os error/, "no error of the machinery");
    await cli(world, "gc");
    const listed = JSON.parse(await cli(world, "ps", "-a", "--json"));
    assert(listed.length <= 1);
    const isRunning = listed[0]?.status === "running";
    assert.deepEqual([processesWith(seconds).length, monitorsOf(world).length], isRunning ? [1, 1] : [0, 0]);
    await clear(world);
  }
  assertApart(before);
});

Deno.test("rename while a container is being started loses neither the name nor what the start has written", async () => {
  await using world = makeWorld();
  const id = await cli(world, "create", ...NONE, "--name", "before", "--pids-limit", "20", "busybox", "sleep", "1000");
  const folder = openAt(AT_FDCWD, `${world.folders.containers}/${id}`, flags("O", "RDONLY", "DIRECTORY"));
  // Both have read the record, or are about to, when they may change it.
  lock(folder, "exclusive");
  const both = Promise.all([cli(world, "start", id), cli(world, "rename", id, "after")]);
  await new Promise((resolve) => setTimeout(resolve, 600));
  close(folder);
  await both;
  const { status, name, cgroups } = await inspect(world, "after");
  // One on cgroup v2, one in each hierarchy on v1.
  assert.deepEqual([status, name, (cgroups ?? []).length > 0], ["running", "after", true]);
  await clear(world);
});

Deno.test("a container that got another name in the midst of its start, or of one that fails, keeps it", async () => {
  await using world = makeWorld({ ownImage: true });
  const { containers, images } = world.folders;
  const id = await cli(world, "create", ...NONE, "--name", "n", "busybox", "sleep", "1000");
  const record = readRecord(`${containers}/${id}`) ?? assert.fail();
  // What start has read before, and writes later.
  await cli(world, "rename", "n", "m");
  writeWithName(containers, record);
  assert.equal((await inspect(world, "m")).name, "m");
  Deno.renameSync(`${images}/busybox`, `${world.home}/away`);
  const failing = start("m", world.folders);
  await Promise.all([assert.rejects(failing, { code: "image-gone" }), rename("m", "k", world.folders)]);
  Deno.renameSync(`${world.home}/away`, `${images}/busybox`);
  assert.equal((await inspect(world, "k")).name, "k");
  await clear(world);
});

Deno.test("start: several that remove one container at once all find it gone afterwards", async () => {
  await using world = makeWorld();
  const id = await cli(world, "run", "-d", ...NONE, "busybox", "sh", "-c", "seq 1 3000 | xargs touch; sleep 1000");
  const results = await Promise.all(Array.from({ length: 4 }, () => world.cli(["rm", "-f", id])));
  assert(results.some(({ code }) => code === 0));
  for (const { code, stderr } of results) {
    if (code) assert.match(stderr, /no such container|another command is starting or removing it/);
  }
  await cli(world, "gc");
  assertNothingLeft(world);
});

Deno.test("start: a container with limits loses no control group, whatever joins it at its end", async () => {
  await using world = makeWorld();
  const before = lookApart();
  const ids = await Promise.all(
    Array.from(
      { length: 4 },
      () => cli(world, "run", "-d", "--rm", ...NONE, "-m", "64m", "busybox", "sh", "-c", "sleep 0.7"),
    ),
  );
  const busy = ids.flatMap((id) =>
    Array.from({ length: 2 }, async () => {
      while ((await world.cli(["exec", id, "true"])).code === 0);
    })
  );
  await Promise.all(busy);
  await until("all monitors gone", () => monitorsOf(world).length === 0);
  await clear(world);
  assertApart(before);
});
