/** What a container may try when files are copied: links, devices, exchanges. */

import assert from "node:assert/strict";
import { copyFrom, copyTo } from "../../../mod.ts";
import { AT_FDCWD, chmodAt } from "../../../ffi/fs/fs.ts";
import { converse, text } from "../../helpers/inside.ts";
import { treeOf } from "../../helpers/tree.ts";
import { lookAtMachine } from "../../helpers/leftovers.ts";
import { makeWorld } from "../../helpers/world.ts";
import { boxesIn, listed } from "../../helpers/boxes.ts";

const world = makeWorld(), { folder, stopped, running } = boxesIn(world);
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

const NONE = { network: "none" } as const;

Deno.test("cp: FIFOs and devices of a container are not opened; devices are left out, and that is told", async () => {
  const { folders } = world;
  await using live = await running(
    "mkdir /d; cd /d; mkfifo fifo; mknod null c 1 3; mknod disk b 8 0; echo x > file",
    { capAdd: ["MKNOD"] },
  );
  const out = `${folder()}/out`;
  const { leftOut } = await copyFrom(live.name, "/d", out, { ...folders, archive: true });
  assert.deepEqual([...leftOut].sort(), ["disk", "null"]);
  assert.deepEqual(listed(out), ["fifo", "file"]);
  assert((await Deno.lstat(`${out}/fifo`)).isFifo);
  const { leftOut: alone } = await copyFrom(live.name, "/d/null", `${out}/null`, folders);
  assert.deepEqual(alone, ["null"]);
  assert.deepEqual(listed(out), ["fifo", "file"]);
  const { code, stderr } = await world.cli(["cp", `${live.name}:/d`, out]);
  assert.deepEqual({ code, stderr }, { code: 0, stderr: "sauropod: skipped: disk, null\n" });
  // This machine's devices can be given to a container.
  await copyTo(live.name, "/dev/full", "/given", { ...folders, archive: true });
  assert.equal(await live.ask("x"), undefined);
});

Deno.test("cp: a socket is left out, and that is told", async () => {
  const box = await stopped(), from = folder();
  using _socket = Deno.listen({ transport: "unix", path: `${from}/socket` });
  assert.deepEqual((await copyTo(box, `${from}/.`, "/root", world.folders)).leftOut, ["socket"]);
});

Deno.test("cp: files that the kernel makes up are refused or left out, and magic links lead nowhere", async () => {
  await using live = await running("ln -s /proc/1/root /magic; ln -s /proc/self/cwd/x /self");
  for (
    const [path, code] of [["/proc/version", "file-made-up"], ["/proc/1/root/etc", "open-failed"], [
      "/magic/etc",
      "open-failed",
    ], ["/sys", "file-made-up"]]
  ) {
    await assert.rejects(copyFrom(live.name, path ?? "", `${folder()}/out`, world.folders), { code }, path);
  }
  const out = `${folder()}/out`;
  await copyFrom(live.name, "/", out, world.folders);
  assert.deepEqual([listed(`${out}/proc`), listed(`${out}/sys`)], [[], []]);
  assert.equal(Deno.readTextFileSync(`${out}/etc/hostname`).trim(), live.container.id);
});

Deno.test("cp: links of a container lead only into it, in both directions", async () => {
  const secret = folder();
  Deno.writeTextFileSync(`${secret}/marker`, "host");
  const box = await stopped(
    `ln -s ${secret} /link; ln -s ../../../../../../..${secret}/marker /climb; ln -s ${secret}/new /new`,
  );
  const from = folder();
  Deno.writeTextFileSync(`${from}/marker`, "overwritten");
  for (const path of ["/link/marker", "/climb/", "/link/."]) {
    await assert.rejects(copyFrom(box, path, `${from}/out`, world.folders), { code: "file-not-found" });
    await assert.rejects(copyFrom(box, "/climb", `${from}/out`, { ...world.folders, followLink: true }), {
      code: "file-not-found",
    });
  }
  for (const path of ["/link", "/link/marker", "/climb", "/new"]) {
    await assert.rejects(copyTo(box, `${from}/marker`, path, world.folders), { code: "file-not-found" });
  }
  assert.deepEqual(listed(secret), ["marker"]);
  assert.equal(Deno.readTextFileSync(`${secret}/marker`), "host");
});

Deno.test("the mode of a FIFO that has become a link meanwhile is not set on what the link leads to", () => {
  const here = folder();
  Deno.writeTextFileSync(`${here}/host`, "", { mode: 0o600 });
  Deno.symlinkSync(`${here}/host`, `${here}/fifo`);
  assert.throws(() => chmodAt(AT_FDCWD, `${here}/fifo`, 0o666), { code: "EOPNOTSUPP" });
  assert.equal((Deno.statSync(`${here}/host`).mode ?? 0) & 0o777, 0o600);
});

Deno.test("cp: links that a container's files meet on this machine are not written through", async () => {
  const box = await stopped("mkdir -p /d/sub; echo evil > /d/sub/marker; ln -s /nowhere /d/file");
  const secret = folder(), out = folder();
  Deno.writeTextFileSync(`${secret}/marker`, "host");
  Deno.mkdirSync(`${out}/d`);
  Deno.symlinkSync(secret, `${out}/d/sub`);
  await assert.rejects(copyFrom(box, "/d", out, world.folders), { code: "occupied" });
  assert.equal(Deno.readTextFileSync(`${secret}/marker`), "host");
  // A link is replaced by what comes in its place, not followed.
  Deno.removeSync(`${out}/d/sub`);
  await Deno.remove(`${out}/d/file`).catch(() => {});
  Deno.symlinkSync(`${secret}/marker`, `${out}/d/file`);
  await copyFrom(box, "/d", out, world.folders);
  assert.equal(Deno.readLinkSync(`${out}/d/file`), "/nowhere");
  assert.equal(Deno.readTextFileSync(`${secret}/marker`), "host");
});

Deno.test("cp: a container that exchanges folders, links and mounts meanwhile makes a copy reach nothing of the host", async () => {
  const { mounts } = lookAtMachine();
  const secret = folder(), inner = "/race/dir";
  Deno.mkdirSync(`${secret}/sub`);
  for (const path of [`${secret}/marker`, `${secret}/sub/marker`]) Deno.writeTextFileSync(path, "marker-of-the-host");
  const untouched = treeOf(secret);
  const script = `mkdir -p /race/dir/sub /race/deep/sub /race/other; cd /race
    for file in dir/marker dir/sub/marker deep/sub/marker; do echo own > $file; done
    ln -s ${secret} link; ln -s ${secret} deep/link; echo ready; exec 2>/dev/null
    (while :; do mv dir away; mv link dir; mv dir link; mv away dir; done) &
    (cd deep; while :; do mv sub away; mv link sub; mv sub link; mv away sub; done) &
    (while :; do mount -t tmpfs x other; mount --bind / other; umount other; umount other; done) &
    read line; kill %1 %2 %3`;
  await using live = await converse(world, script, { ...NONE, capAdd: ["SYS_ADMIN"], name: "racer", init: true });
  assert.equal(await live.ask(), "ready");
  const from = folder();
  Deno.mkdirSync(`${from}/sub`);
  Deno.writeTextFileSync(`${from}/marker`, "in");
  Deno.writeTextFileSync(`${from}/sub/marker`, "in");
  let copied = 0, tries = 0;
  const end = Date.now() + 6000;
  for (let round = 0; round < 400 && Date.now() < end; round++) {
    const out = folder();
    for (const path of [`${inner}/marker`, inner, "/race/deep", "/race", "/race/link/.", "/race/deep/sub/."]) {
      try {
        // A place of its own for each: the one before may have been copied as a link to the host's secret.
        await copyFrom("racer", path, `${out}/${tries++}`, { ...world.folders, archive: true });
        copied++;
      } catch (error) {
        assert(error instanceof Error && "code" in error, String(error));
      }
    }
    const { stdout } = await new Deno.Command("grep", { args: ["-rl", "--devices=skip", "marker-of-the-host", out] })
      .output();
    assert.equal(text(stdout), "", "something of the host was copied");
    for (
      const [path, to] of [[`${from}/.`, inner], [`${from}/marker`, "/race/deep/sub"], [`${from}/sub`, inner], [
        `${from}/marker`,
        "/race/link",
      ]]
    ) {
      try {
        await copyTo("racer", path ?? "", to ?? "", world.folders);
        copied++;
      } catch (error) {
        assert(error instanceof Error && "code" in error, String(error));
      }
    }
    await Deno.remove(out, { recursive: true });
  }
  assert(copied > 20, `only ${copied} copies succeeded`);
  assert.deepEqual(treeOf(secret), untouched);
  assert.deepEqual(lookAtMachine().mounts, mounts);
});
