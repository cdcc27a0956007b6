/** Folders and files of the host in a container. */

import assert from "node:assert/strict";
import { InputError, SpawnError } from "../../../mod.ts";
import { converse, host, inside, type InsideOptions, say } from "../../helpers/inside.ts";
import { makeWorld } from "../../helpers/world.ts";
import { containersIn, fingerprint, refused } from "../../helpers/unchanged.ts";

const world = makeWorld();
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

Deno.test("run -v: a volume is the host's folder: both sides see what the other writes", async () => {
  Deno.mkdirSync(`${world.home}/data`);
  await using box = await converse(world, "echo in > /new/data/in; echo; read; cat /new/data/out", {
    volumes: [`${world.home}/data:/new/data`],
  });
  await box.ask();
  assert.equal(Deno.readTextFileSync(`${world.home}/data/in`), "in\n");
  Deno.writeTextFileSync(`${world.home}/data/out`, "out");
  assert.equal(await box.ask("go"), "out");
});

Deno.test("run -v: a single file can be a volume, also in place of a file of the image", async () => {
  Deno.writeTextFileSync(`${world.home}/file`, "of the host\n");
  const volumes = [`${world.home}/file:/etc/passwd:ro`, `${world.home}/file:/a/new/one`];
  const script = "cat /etc/passwd /a/new/one; echo changed > /a/new/one; echo > /etc/passwd";
  const { stdout, stderr } = await inside(world, script, { volumes });
  assert.equal(stdout, "of the host\nof the host\n");
  assert.match(stderr, /etc\/passwd: Read-only file system/);
  assert.equal(Deno.readTextFileSync(`${world.home}/file`), "changed\n");
});

Deno.test("a read-only volume cannot be written, not even in what is mounted below it", async () => {
  const data = `${world.home}/guarded`;
  Deno.mkdirSync(`${data}/below`, { recursive: true });
  await host("mount", "-t", "tmpfs", "below", `${data}/below`);
  try {
    Deno.writeTextFileSync(`${data}/below/file`, "seen");
    const script =
      "cat /data/below/file; for f in /data/new /data/below/new /data/below/file; do echo > $f; done; true";
    const { stdout, stderr } = await inside(world, script, { volumes: [`${data}:/data:ro`], capAdd: ["DAC_OVERRIDE"] });
    assert.equal(stdout, "seen");
    assert.equal(stderr.match(/Read-only file system/g)?.length, 3);
    assert.deepEqual([...Deno.readDirSync(data)].map(({ name }) => name), ["below"]);
    // Only the container's view is read-only.
    Deno.writeTextFileSync(`${data}/below/other`, "");
  } finally {
    await host("umount", `${data}/below`);
  }
});

Deno.test("run -v: the source of a volume is relative to the working directory", async () => {
  Deno.mkdirSync(`${world.home}/here/data`, { recursive: true });
  Deno.writeTextFileSync(`${world.home}/here/data/file`, "found");
  for (const source of ["data", "./data", "../here/data", "."]) {
    const file = source === "." ? "/in/data/file" : "/in/file";
    const { stdout } = await world.cli(["--rm", "-v", `${source}:/in`, "busybox", "cat", file], {
      cwd: `${world.home}/here`,
    });
    assert.equal(stdout, "found", source);
  }
});

Deno.test("run -v: volumes can be nested, whatever their order", async () => {
  for (const name of ["outer/middle", "inner"]) Deno.mkdirSync(`${world.home}/${name}`, { recursive: true });
  Deno.writeTextFileSync(`${world.home}/outer/file`, "outer ");
  Deno.writeTextFileSync(`${world.home}/inner/file`, "inner");
  const volumes = [`${world.home}/inner:/data/middle`, `${world.home}/outer:/data`];
  for (const order of [volumes, volumes.toReversed()]) {
    assert.equal(await say(world, "cat /data/file /data/middle/file", { volumes: order }), "outer inner");
  }
  const mixed = { volumes: volumes.slice(1), tmpfs: ["/data/middle"] };
  assert.equal(await say(world, "cat /data/file; ls /data/middle; touch /data/middle/new", mixed), "outer ");
  assert.deepEqual([...Deno.readDirSync(`${world.home}/outer/middle`)], []);
});

Deno.test("run -v: a symbolic link of the image as a volume's target leads only into the image", async () => {
  await using world = makeWorld({ ownImage: true });
  const victim = `${world.home}/victim`;
  Deno.mkdirSync(victim);
  Deno.mkdirSync(`${world.home}/data`);
  Deno.writeTextFileSync(`${world.home}/data/file`, "data");
  const image = world.image;
  Deno.symlinkSync("/etc", `${image}/to-etc`);
  Deno.symlinkSync(`../../../../../..${victim}`, `${image}/out`);
  const before = await fingerprint(image);

  const link = await say(world, "cat /etc/file; ls /etc", { volumes: [`${world.home}/data:/to-etc`] });
  assert.equal(link, "data" + "file\n");
  const parent = await say(world, "cat /etc/new/file; test -e /etc/passwd", {
    volumes: [`${world.home}/data:/to-etc/new`],
  });
  assert.equal(parent, "data");
  // A way up and out: `..` at the top must stay there, also while the container is being made.
  assert.equal(await say(world, `cat ${victim}/file`, { volumes: [`${world.home}/data:/out`] }), "data");
  for (const options of [{ volumes: [`${world.home}/data:/out/deep/er`] }, { tmpfs: ["/out/memory"] }]) {
    await say(world, `ls ${victim}`, options);
  }
  assert.deepEqual([...Deno.readDirSync(victim)], []);
  assert.equal(await fingerprint(image), before);
});

Deno.test("run -v: a volume may lie on a folder of /dev or /sys, which symbolic links of the image do not move", async () => {
  Deno.mkdirSync(`${world.home}/special`);
  Deno.writeTextFileSync(`${world.home}/special/file`, "data");
  assert.equal(await say(world, "cat /dev/data/file", { volumes: [`${world.home}/special:/dev/data`] }), "data");
  assert.equal(await say(world, "cat /sys/kernel/file", { volumes: [`${world.home}/special:/sys/kernel:ro`] }), "data");
});

Deno.test("run -v: mounts that make no sense are refused before anything is made", async () => {
  const source = world.home;
  Deno.writeTextFileSync(`${source}/file`, "");
  Deno.symlinkSync("loop", `${source}/loop`);
  const bad: readonly (readonly [InsideOptions, string])[] = [
    [{ volumes: [`${source}/missing:/data`] }, "mount-source-missing"],
    [{ volumes: [`${source}/file/x:/data`] }, "bad-mount"],
    [{ volumes: [`${source}/loop:/data`] }, "bad-mount"],
    [{ devices: [`${source}/file/x:/dev/x`] }, "bad-device"],
    [{ volumes: ["data"] }, "bad-mount"],
    [{ volumes: [`${source}:data`] }, "bad-mount"],
    [{ volumes: [`${source}:/data:rx`] }, "bad-mount"],
    [{ volumes: [`${source}:/data:ro:ro`] }, "bad-mount"],
    [{ volumes: [`${source}:/a/../../b`] }, "bad-mount"],
    [{ volumes: [`${source}:/`] }, "bad-mount"],
    [{ volumes: [`${source}:/a\0`] }, "bad-mount"],
    [{ volumes: ["/a\0"] }, "bad-mount"],
    [{ tmpfs: ["/a\0"] }, "bad-mount"],
    [{ volumes: [`${source}:/proc`] }, "bad-mount"],
    [{ volumes: [`${source}:/proc/self/attr`] }, "bad-mount"],
    [{ volumes: [`${source}://proc/./sys/`] }, "bad-mount"],
    [{ volumes: [`${source}:/sys`] }, "bad-mount"],
    [{ volumes: [`${source}:/a`, `${source}:/a/`] }, "bad-mount"],
    [{ volumes: [`${source}:/a`], tmpfs: ["/a"] }, "bad-mount"],
    [{ tmpfs: ["run"] }, "bad-mount"],
    [{ tmpfs: ["/run:size=lots"] }, "bad-mount"],
    [{ tmpfs: ["/run:suid"] }, "bad-mount"],
    [{ tmpfs: ["/dev"] }, "bad-mount"],
  ];
  for (const [options, code] of bad) {
    const error = await refused(world, InputError, options);
    assert.equal(error.code, code, JSON.stringify(options));
    assert.match(error.message, /^invalid --(volume|tmpfs|device) |^cannot mount |^duplicate mount/);
  }
  const { code, stderr } = await world.cli(["-v", "missing:/data", "busybox", "true"]);
  assert.equal(code, 125);
  assert.ok(stderr.includes(`cannot mount ${world.home}/missing: no such file`), stderr);
  assert.deepEqual(containersIn(world), []);
});

Deno.test("run -v: a volume whose target is a file where a folder is needed is refused and nothing is left", async () => {
  const error = await refused(world, SpawnError, { volumes: [`${world.home}:/etc/passwd`] });
  assert.match(error.message, /\/etc\/passwd/);
  assert.match(`${error.hint}`, /mount a directory on a directory/);
});
