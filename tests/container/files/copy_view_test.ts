/** What of a container is shown to copies: volumes, layers, a root that is read-only. */

import assert from "node:assert/strict";
import { copyFrom, copyTo } from "../../../mod.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { openAt } from "../../../ffi/fs/fs.ts";
import { readRecord, writeRecord } from "../../../lib/container/state/record.ts";
import { withOfflineContainer } from "../../../lib/container/state/offline_lock.ts";
import { withRoot } from "../../../lib/container/files/rootfs_mount.ts";
import { converse, say } from "../../helpers/inside.ts";
import { lookAtMachine } from "../../helpers/leftovers.ts";
import { makeWorld } from "../../helpers/world.ts";
import { boxesIn, listed } from "../../helpers/boxes.ts";

const world = makeWorld(), { folder, stopped, running } = boxesIn(world);
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

const NONE = { network: "none" } as const;

Deno.test("volumes are seen and written, whether the container runs or not, unless they are read-only", async () => {
  const volume = folder(), from = folder();
  Deno.writeTextFileSync(`${volume}/there`, "volume");
  Deno.writeTextFileSync(`${from}/new`, "new");
  const volumes = [`${volume}:/data`, `${volume}:/ro:ro`, `${from}:/gone`];
  const box = await stopped("true", { volumes });
  await using live = await running("true", { volumes });
  for (const name of [box, live.name]) {
    const out = folder();
    await copyFrom(name, "/data/there", out, world.folders);
    assert.equal(Deno.readTextFileSync(`${out}/there`), "volume");
    await copyTo(name, `${from}/new`, `/data/${name}`, world.folders);
    assert.equal(Deno.readTextFileSync(`${volume}/${name}`), "new");
    await assert.rejects(copyTo(name, `${from}/new`, "/ro/x", world.folders), { hint: /mount it writable/ });
  }
  await Deno.rename(from, `${from}-moved`);
  await copyFrom(box, "/data/there", folder(), world.folders);
});

Deno.test("cp: a file that is mounted in a container is not replaced: it stays mounted", async () => {
  const from = folder(), volume = `${from}/volume`;
  Deno.writeTextFileSync(volume, "volume");
  Deno.writeTextFileSync(`${from}/new`, "new");
  const volumes = [`${volume}:/etc/own`];
  const box = await stopped("true", { volumes });
  await using live = await running("true", { volumes });
  for (const [name, path] of [[box, "/etc/own"], [live.name, "/etc/own"], [live.name, "/etc/hosts"]] as const) {
    await assert.rejects(copyTo(name, `${from}/new`, path, world.folders), {
      code: "copy-failed",
      hint: /a mount point is not replaced/,
    });
  }
  for (const name of [box, live.name]) {
    const out = folder();
    await copyFrom(name, "/etc/own", out, world.folders);
    assert.equal(Deno.readTextFileSync(`${out}/own`), "volume");
  }
});

Deno.test("a container whose root is read-only takes files in its volumes only", async () => {
  const volume = folder(), from = folder();
  Deno.writeTextFileSync(`${from}/f`, "x");
  const options = { readOnly: true, volumes: [`${volume}:/data`] };
  const box = await stopped("true", options);
  await using live = await running("true", options);
  for (const name of [box, live.name]) {
    await assert.rejects(copyTo(name, `${from}/f`, "/root/f", world.folders), {
      code: "copy-failed",
      hint: /mount it writable/,
    });
    await copyTo(name, `${from}/f`, `/data/${name}`, world.folders);
  }
  assert.deepEqual(listed(volume).length, 2);
});

Deno.test("nobody can start a container while its files are shown, and what is shown is not mounted anywhere", async () => {
  const { mounts } = lookAtMachine();
  const box = await stopped(), { containers } = world.folders;
  const order: string[] = [];
  await withRoot(containers, box, "read", async ({ fd, record }) => {
    assert.deepEqual(lookAtMachine().mounts, mounts);
    const second = withOfflineContainer(containers, record.id, () => order.push("second"));
    await new Promise((resolve) => setTimeout(resolve, 100));
    order.push("first");
    assert.throws(() => openAt(fd, "new", flags("O", "WRONLY", "CREAT"), 0o600), { code: "EROFS" });
    return { second };
  }).then(({ second }) => second);
  assert.deepEqual(order, ["first", "second"]);
  await using live = await running();
  await assert.rejects(async () => await withOfflineContainer(containers, live.container.id, () => {}), {
    code: "container-running",
  });
  await assert.rejects(copyFrom("nobody", "/", folder(), world.folders), { code: "container-not-found" });
});

Deno.test("cp: an image of many layers is shown as it is when it runs", async () => {
  const { containers, images } = world.folders, box = await stopped();
  const id = await withRoot(containers, box, "read", ({ record }) => Promise.resolve(record.id));
  const record = readRecord(`${containers}/${id}`);
  assert(record);
  const layers = Array.from({ length: 120 }, (_, i) => `${images}/layer-with-a-name-${i}`);
  for (const [i, layer] of layers.entries()) {
    Deno.mkdirSync(layer);
    Deno.writeTextFileSync(`${layer}/${i}`, "");
    Deno.writeTextFileSync(`${layer}/same`, String(i));
  }
  writeRecord(`${containers}/${id}`, { ...record, lower: layers });
  const out = folder();
  await copyFrom(box, "/.", out, world.folders);
  assert.equal(Deno.readTextFileSync(`${out}/same`), "0");
  assert.equal(listed(out).filter((name) => /^\d+$/.test(name)).length, 120);
});

Deno.test("cp: a folder that holds the container, or the copy itself, is copied without end of it", async () => {
  const small = makeWorld();
  try {
    await say(small, "true", { ...NONE, name: "box", keep: true });
    await copyTo("box", small.home, "/copy", small.folders);
    const out = `${small.home}/out`;
    await copyFrom("box", "/copy", out, small.folders);
    assert(listed(`${out}/containers`).includes(".live/"));
    // The copy is beneath what is copied: a volume shows it.
    const data = `${small.home}/data`;
    Deno.mkdirSync(data);
    await using _live = await converse(small, "read line", { ...NONE, name: "live", volumes: [`${data}:/data`] });
    await copyFrom("live", "/data", data, small.folders);
    await copyFrom("live", "/data", `${data}/again`, small.folders);
    assert.deepEqual(listed(data), ["again/", "again/data/", "data/"]);
  } finally {
    await small[Symbol.asyncDispose]();
  }
});
