/** Builds that fail, are killed or compete, and what is kept of them. */

import assert from "node:assert/strict";
import { buildImage, listImages } from "../../mod.ts";
import { ImageError } from "../../lib/errors.ts";
import { verifyImages } from "../../lib/image/manage.ts";
import { pruneStore } from "../../lib/build/remove_images.ts";
import { storeFolder } from "../../lib/store/store.ts";
import { assertApart, assertNothingLeft, leftIn, lookApart, processesWith, until } from "../helpers/life.ts";
import { host } from "../helpers/inside.ts";
import { randomFrom } from "../helpers/random.ts";
import { makeWorld, type World } from "../helpers/world.ts";
import { blobs, build, built, cached, context, namesIn, say } from "../helpers/building.ts";

Deno.test("a RUN that fails leaves nothing, and its exit code is told", async () => {
  await using world = makeWorld();
  const before = lookApart();
  const folder = context(world, { Dockerfile: "FROM busybox\nRUN echo 1 > /1\nRUN echo doing; echo 2 > /2; exit 7\n" });
  const { code, stdout, stderr } = await build(world, "-t", "a", folder);
  assert.deepEqual([code, stdout], [7, ""]);
  assert.match(
    stderr,
    /\n\[3\/3\] RUN echo doing; [^\n]*\ndoing\nsauropod: Dockerfile:3: \[3\/3\] RUN echo doing; .*: it ended with exit code 7\n$/,
  );
  const quiet = await build(world, "-q", folder);
  assert.match(quiet.stderr, /^doing\nsauropod: Dockerfile:3: [^\n]*exit code 7\n$/);
  const made = blobs(world);
  assert.deepEqual(await listImages(world.folders), []);
  assert.deepEqual(namesIn(`${storeFolder(world.folders.images)}/partial`), []);
  assertNothingLeft(world);
  const again = await build(world, "-t", "a", folder);
  assert.deepEqual([cached(again), blobs(world)], [["RUN echo 1 > /1"], made], "what went well is not done again");

  for (
    const [run, exit, message] of [
      ["RUN /none", 127, /it ended with exit code 127/],
      ['RUN ["/none"]', 127, /\/none/],
      ['RUN ["/etc/passwd"]', 126, /\/etc\/passwd/],
      ["RUN sh -c 'kill -9 $$'; exit $?", 137, /exit code 137/],
      ["USER nobody\nRUN true", 125, /Dockerfile:3: unknown user "nobody"/],
    ] as const
  ) {
    Deno.writeTextFileSync(`${folder}/Dockerfile`, `FROM busybox\n${run}\n`);
    const failed = await build(world, folder);
    assert.equal(failed.code, exit, failed.stderr);
    assert.match(failed.stderr, message);
  }
  assertNothingLeft(world);
  assertApart(before);
});

/** A Dockerfile whose second RUN takes long; `marker` is a word of its command. */
function slow(world: World, marker: string): string {
  return context(world, { Dockerfile: `FROM busybox\nRUN echo 1 > /1\nRUN echo 2 > /2; sleep ${marker}\n` });
}

for (const signal of ["SIGINT", "SIGTERM", "SIGKILL"] as const) {
  Deno.test(`after ${signal} in the middle of a build nothing is left, and the next goes on`, async () => {
    await using world = makeWorld();
    const before = lookApart(), marker = `2${Date.now()}`, folder = slow(world, marker);
    const child = world.start(["images", "build", "--network", "none", "-t", "a", folder]);
    await until("the command runs", () => processesWith(marker).some((pid) => pid !== child.pid));
    child.kill(signal);
    const { code, stdout, stderr } = await child.output();
    await until("the command is gone", () => processesWith(marker).length === 0);
    if (signal !== "SIGKILL") {
      assert.equal(code, 125);
      assert.match(new TextDecoder().decode(stderr), /sauropod: interrupted/);
      assertNothingLeft(world);
    }
    assert.equal(stdout.length, 0);
    assert.deepEqual(await listImages(world.folders), []);
    Deno.writeTextFileSync(`${folder}/Dockerfile`, "FROM busybox\nRUN echo 1 > /1\nRUN echo 2 > /2\n");
    assert.deepEqual(cached(await built(world, "-t", "a", folder)), ["RUN echo 1 > /1"]);
    await world.cli(["gc"]);
    assertNothingLeft(world);
    assert.deepEqual(namesIn(`${storeFolder(world.folders.images)}/partial`), []);
    assert.equal(await say(world, "a", "cat /1 /2"), "1\n2\n");
    assertApart(before);
  });
}

Deno.test("kill -9 at any moment leaves what the next build clears away", async () => {
  await using world = makeWorld();
  const before = lookApart(), random = randomFrom(20_261_124);
  const folder = context(world, {
    Dockerfile:
      "FROM busybox AS a\nCOPY d /d\nRUN cat /d/* > /all\nFROM busybox\nCOPY --from=a / /a\nWORKDIR /w\nRUN cp /a/all .\n",
    "d/": "",
  });
  for (let i = 0; i < 40; i++) Deno.writeFileSync(`${folder}/d/${i}`, crypto.getRandomValues(new Uint8Array(60_000)));
  const partial = `${storeFolder(world.folders.images)}/partial`;
  for (let round = 0; round < 12; round++) {
    const child = world.start(["images", "build", "--no-cache", "--network", "none", folder]);
    const output = child.output();
    await new Promise((resolve) => setTimeout(resolve, 50 + 1000 * random()));
    try {
      child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
    await output;
  }
  await built(world, "-t", "a", folder);
  assert.deepEqual(namesIn(partial).filter((name) => name.endsWith(".tmp")), []);
  await pruneStore(world.folders.images);
  assert.deepEqual(namesIn(partial), []);
  assert.deepEqual(await verifyImages(world.folders.images), []);
  assert.equal(await say(world, "a", "cat /a/d/* | cmp - /w/all && ls /a/d | wc -l"), "40\n");
  await world.cli(["gc"]);
  assertNothingLeft(world);
  assertApart(before);
});

Deno.test("builds of the same at once do not disturb each other, nor prune them", async () => {
  await using world = makeWorld();
  const folder = context(world, {
    Dockerfile: "FROM busybox\nCOPY f /f\nRUN cat /f > /g; sleep 0.2\nRUN echo end\n",
    f: "f",
  });
  const builds = Array.from({ length: 4 }, (_, i) => built(world, "-t", `a:${i}`, folder));
  const prunes = Array.from({ length: 2 }, () => world.cli(["images", "prune"]));
  await Promise.all(builds);
  for (const { code, stderr } of await Promise.all(prunes)) assert.equal(code, 0, stderr);
  for (let i = 0; i < 4; i++) assert.equal(await say(world, `a:${i}`, "cat /g"), "f");
  assert.deepEqual(cached(await built(world, folder)).length, 3);
  assertNothingLeft(world);
});

Deno.test("rm spares what other builds go on from, prune does not", async () => {
  await using world = makeWorld();
  const folder = context(world, {
    Dockerfile: "FROM busybox AS make\nRUN echo made > /made\nFROM busybox\nCOPY --from=make /made /made\n",
  });
  const other = context(world, { Dockerfile: "FROM busybox\nRUN echo other > /other\n" }, "other");
  await built(world, "-t", "a", folder);
  await built(world, "-t", "b", other);
  const all = blobs(world).length;
  await world.cli(["images", "rm", "b"]);
  assert.equal(blobs(world).length, all - 3, "a layer, a configuration and a manifest");
  assert.equal(cached(await built(world, "-t", "a", folder)).length, 2);
  assert.deepEqual(cached(await built(world, "-t", "b", other)), []);
  await world.cli(["images", "prune"]);
  assert.deepEqual(cached(await built(world, "-t", "a", folder)), ["COPY --from=make /made /made"]);
  await world.cli(["images", "rm", "a", "b"]);
  await world.cli(["images", "prune"]);
  assert.deepEqual([blobs(world), namesIn(`${storeFolder(world.folders.images)}/build`)], [[], []]);
  assert.deepEqual(cached(await built(world, "-t", "a", folder)), []);
});

Deno.test("a container keeps the layers of a build that lost its name", async () => {
  await using world = makeWorld();
  const folder = context(world, { Dockerfile: "FROM busybox\nRUN echo made > /made\n" });
  await built(world, "-t", "a", folder);
  await world.cli(["run", "--name", "box", "--network", "none", "a", "true"]);
  await world.cli(["images", "rm", "--force", "a"]);
  await world.cli(["images", "prune"]);
  const { stdout, stderr } = await world.cli(["start", "-a", "box"]);
  assert.equal(stdout + stderr, "");
  assert.equal((await world.cli(["cp", "box:/made", "-"])).code, 0);
});

Deno.test("build: a full disk is named, and the store is as before", async () => {
  await using world = makeWorld();
  const small = `${world.home}/full`,
    images = `${small}/images`,
    { containers } = world.folders,
    there = { images, containers };
  const text = "FROM scratch\nCOPY bin /bin\nWORKDIR /w\nRUN head -c 2000000 /dev/urandom > noise\nADD etc /etc/\n";
  const folder = world.image;
  Deno.mkdirSync(small);
  await host("mount", "-t", "tmpfs", "-o", "size=16k", "full", small);
  try {
    const steps = new Set<number>();
    for (let size = 16;; size = Math.ceil(size * 1.5)) {
      await host("mount", "-o", `remount,size=${size}k`, small);
      let last = 0;
      const onProgress = ({ step }: { step: number }): void => void (last = step);
      const given = buildImage(folder, { ...there, text, names: ["a"], network: "none", onProgress });
      const error = await given.then(() => undefined, (error) => error);
      if (error === undefined) break;
      steps.add(last);
      assert.ok(error instanceof ImageError && error.code === "store-full", `${size} KiB: ${error.stack}`);
      assert.ok(error.message.includes(`${images}/.store`), error.message);
      assert.deepEqual([await listImages(there), leftIn(world)], [[], []]);
      assert.ok(size < 40_000, "it never fits");
    }
    assert.ok(steps.has(2) && steps.has(4), [...steps].join());
    assert.deepEqual(namesIn(`${images}/.store/partial`), []);
    assert.deepEqual(await verifyImages(images), []);
  } finally {
    await host("umount", small);
  }
});
