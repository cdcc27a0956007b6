/** Many containers at once: siblings stay right although not all are looked at. `bench:many` says what one more costs. */

import assert from "node:assert/strict";
import { exec, remove, runDetached } from "../../../mod.ts";
import { abandonedIds, readOwnership } from "../../../lib/container/state/ownership.ts";
import { SAMPLE, some } from "../../../lib/host/sample.ts";
import { ownOrigin } from "../../../lib/host/process_identity.ts";
import { text } from "../../helpers/inside.ts";
import {
  assertApart,
  assertNothingLeft,
  clear,
  cli,
  inspect,
  lookApart,
  monitorsOf,
  until,
} from "../../helpers/life.ts";
import { makeWorld, type World } from "../../helpers/world.ts";

const MANY = 60;

async function hostsOf(world: World, container: string): Promise<string> {
  const process = await exec(container, ["cat", "/etc/hosts"], { ...world.folders, stdout: "piped", stderr: "piped" });
  return text((await process.output()).stdout);
}

Deno.test(`${MANY} containers on a bridge: all are listed and know each other, and who is left forgets the others`, async () => {
  await using world = makeWorld();
  const options = { ...world.folders, keep: true };
  const before = lookApart();
  try {
    const ids: string[] = [];
    for (let i = 0; i < MANY; i++) {
      ids.push(await runDetached("busybox", ["sleep", "1000"], { ...options, name: `many-${i}` }));
    }
    assert.equal((await cli(world, "ps", "-q")).split("\n").length, MANY);
    for (const one of [0, MANY - 1]) {
      const hosts = await hostsOf(world, `many-${one}`);
      const names = new Set([...hosts.matchAll(/many-(\d+)\b/g)].map(([, number]) => Number(number)));
      assert.equal(names.size, MANY, `many-${one} knows all`);
    }
    await Promise.all(ids.slice(1).map((id) => remove(id, { ...world.folders, force: true })));
    assert.doesNotMatch(await hostsOf(world, "many-0"), /many-[1-9]/);
  } finally {
    await clear(world);
  }
  assertApart(before);
});

Deno.test("run -d: a name that returns leads to where it is now, however many others have ended unseen", async () => {
  await using world = makeWorld();
  const options = { ...world.folders };
  const asker = await runDetached("busybox", ["sleep", "1000"], { ...options, keep: true, name: "asker" });
  const first = await runDetached("busybox", ["sleep", "1000"], { ...options, name: "web" });
  const others: string[] = [];
  for (let i = 0; i < 2 * SAMPLE; i++) {
    others.push(await runDetached("busybox", ["sleep", "1000"], { ...options, name: `dead-${i}` }));
  }
  // They end by themselves, and no command sees it.
  for (const id of [first, ...others]) {
    Deno.kill(readOwnership(world.folders.containers, id)?.process?.pid ?? assert.fail(), "SIGKILL");
  }
  await until("one monitor only", () => monitorsOf(world).length === 1);
  const again = await runDetached("busybox", ["sleep", "1000"], { ...options, keep: true, name: "web" });
  const { networks } = await inspect(world, again);
  const address = networks?.[0]?.addresses[0]?.split("/")[0] ?? assert.fail();
  const lines = (await hostsOf(world, "asker")).split("\n").filter((line) => /\bweb\b/.test(line));
  assert.deepEqual(lines.map((line) => line.split("\t")[0]), [address]);
  await cli(world, "gc");
  assert.doesNotMatch(await hostsOf(world, "asker"), /dead-/, "gc has told of all");
  assert.match(await hostsOf(world, asker), /\bweb\b/);
  await clear(world);
});

Deno.test("run -d: a command looks at so many marks of others and no more, and over time at all", async () => {
  const items = Array.from({ length: 50 }, (_, i) => i);
  const seen = new Set<number>();
  for (let round = 0; round < 500; round++) {
    const chosen = some(items, SAMPLE);
    assert.equal(new Set(chosen).size, SAMPLE);
    chosen.forEach((item) => seen.add(item));
  }
  assert.equal(seen.size, items.length);
  assert.deepEqual(some([1, 2, 3], SAMPLE), [1, 2, 3]);

  await using world = makeWorld();
  const { containers } = world.folders;
  Deno.mkdirSync(`${containers}/.live`);
  for (const item of items) {
    Deno.mkdirSync(`${containers}/${item.toString(16).padStart(12, "0")}/upper`, { recursive: true });
    Deno.symlinkSync(
      `${ownOrigin().replace(/(?<=^\w+\.)\w+/, "0badb007")} 1.1`,
      `${containers}/.live/${item.toString(16).padStart(12, "0")}`,
    );
  }
  assert.equal(abandonedIds(containers, SAMPLE).length, SAMPLE);
  assert.equal(abandonedIds(containers).length, items.length);
  await cli(world, "run", "-d", "--rm", "--network", "none", "busybox", "true");
  // A start takes some of them away; gc takes all.
  const left = abandonedIds(containers).length;
  assert(left < items.length && left >= items.length - SAMPLE, `${left} are left`);
  await until("its monitor gone", () => monitorsOf(world).length === 0);
  await cli(world, "gc");
  assertNothingLeft(world);
});
