import assert from "node:assert/strict";
import {
  commitContainer,
  copyFrom,
  create,
  importImage,
  loadImages,
  output,
  remove,
  run,
  runDetached,
  start,
  wait,
} from "../../../mod.ts";
import { listContainers } from "../../../lib/container/state/names.ts";
import type { RunOptions } from "../../../mod.ts";
import { host, text } from "../../helpers/inside.ts";
import { makeLayout } from "../../helpers/registry.ts";
import { type Item, tar } from "../../helpers/tar.ts";
import { lookAtMachine } from "../../helpers/leftovers.ts";
import { makeWorld, type World } from "../../helpers/world.ts";

const network = "none";

const FILES: readonly Item[] = [
  { name: "bin/", type: "5", mode: 0o755 },
  { name: "bin/busybox", body: Deno.readFileSync("/bin/busybox"), mode: 0o755 },
  ...["sh", "ls", "cat", "stat", "find", "sort"].map((name): Item => ({
    name: `bin/${name}`,
    type: "2",
    target: "busybox",
  })),
  { name: "data/", type: "5", mode: 0o750, uid: 1000, gid: 1001 },
  { name: "data/file", body: "lower", mode: 0o640, uid: 1000 },
  { name: "data/hidden", body: "hidden" },
  { name: "data/sub/", type: "5", mode: 0o700 },
  { name: "data/sub/deep", body: "deep", mode: 0o4755 },
  { name: "data/link", type: "2", target: "/data/file" },
  { name: "data/null", type: "3", major: 1, minor: 3, mode: 0o666 },
  { name: "etc/", type: "5", mode: 0o755 },
  { name: "etc/mine", body: "of the image" },
  { name: "out", type: "2", target: "../../../../etc" },
];
const CHANGES: readonly Item[] = [{ name: "data/.wh.hidden" }, { name: "data/file", body: "upper", uid: 1000 }];

/** Makes the image `name`, of two layers, with these volumes. */
async function makeImage(world: World, name: string, ...volumes: string[]): Promise<void> {
  const layout = await Deno.makeTempDir({ dir: world.home });
  await makeLayout(layout, [tar(...FILES), tar(...CHANGES)]);
  await loadImages(layout, world.folders);
  const changes = { Volumes: Object.fromEntries(volumes.map((path) => [path, {}])) };
  await importImage(layout, name, { ...world.folders, changes });
}

async function say(world: World, image: string, script: string, options: RunOptions = {}): Promise<string> {
  const result = await output(image, ["/bin/sh", "-c", script], { ...world.folders, network, ...options });
  assert.deepEqual([result.code, text(result.stderr)], [0, ""]);
  return text(result.stdout);
}

function foldersOf({ folders }: World): string[] {
  return [...Deno.readDirSync(folders.containers)].map(({ name }) => name).filter((name) => !name.startsWith("."));
}

Deno.test("run -v: a volume of the image begins with what the image has there, with modes, owners and links", async () => {
  const { mounts } = lookAtMachine();
  {
    await using world = makeWorld();
    await makeImage(world, "app", "/data");
    const list = "cd /data && find . | sort && stat -c '%a %u:%g %N' . file sub sub/deep link && cat file";
    assert.equal(
      await say(world, "app", list),
      [
        ...[".", "./file", "./link", "./sub", "./sub/deep"],
        ...["750 1000:1001 .", "644 1000:0 file", "700 0:0 sub", "4755 0:0 sub/deep", "777 0:0 'link' -> '/data/file'"],
        "upper",
      ].join("\n"),
    );
    assert.deepEqual(foldersOf(world), []);
  }
  assert.deepEqual(lookAtMachine().mounts, mounts);
});

Deno.test("run -v: what is written to a volume goes with its container, and is in no image of it", async () => {
  await using world = makeWorld();
  const { folders } = world;
  await makeImage(world, "app", "/data");
  await say(world, "app", "echo new >/data/new; echo beside >/beside", { keep: true, name: "box" });
  assert.equal(await say(world, "app", "ls /data"), "file\nlink\nsub\n");
  await commitContainer("box", "committed", folders);
  assert.equal(await say(world, "committed", "cat /beside; ls /data"), "beside\nfile\nlink\nsub\n");
  const [id = ""] = foldersOf(world);
  assert.equal(Deno.readTextFileSync(`${folders.containers}/${id}/volumes/data/new`), "new\n");
  await copyFrom("box", "/data/new", `${world.home}/copy`, folders);
  assert.equal(Deno.readTextFileSync(`${world.home}/copy`), "new\n");
  await remove("box", folders);
  assert.deepEqual(foldersOf(world), []);
});

Deno.test("run -v: a container that is started again has its volumes as it left them", async () => {
  await using world = makeWorld();
  const { folders } = world;
  await makeImage(world, "app", "/data");
  const script = "echo x >>/data/count; cat /data/count >/out2";
  const id = await create("app", ["/bin/sh", "-c", script], { ...folders, network, keep: true });
  for (let times = 1; times <= 3; times++) {
    await start(id, folders);
    await wait(id, folders);
    assert.equal(Deno.readTextFileSync(`${folders.containers}/${id}/volumes/data/count`), "x\n".repeat(times));
  }
  const other = await runDetached("app", ["/bin/sh", "-c", script], { ...folders, network, keep: true });
  await wait(other, folders);
  assert.equal(Deno.readTextFileSync(`${folders.containers}/${other}/upper/out2`), "x\n");
  for (const one of [id, other]) await remove(one, folders);
});

Deno.test("run -v: what the user mounts takes the place of the image's volume", async () => {
  await using world = makeWorld();
  await makeImage(world, "app", "/data", "/etc");
  await Deno.mkdir(`${world.home}/mine`);
  await Deno.writeTextFile(`${world.home}/mine/own`, "");
  assert.equal(await say(world, "app", "ls /data", { volumes: [`${world.home}/mine:/data/`] }), "own\n");
  assert.equal(await say(world, "app", "ls /data", { tmpfs: ["/data:size=1m"] }), "");
  assert.equal(await say(world, "app", "cat /etc/mine", { tmpfs: ["/data"] }), "of the image");
});

Deno.test("run -v: a volume without a source is the container's own, as with docker", async () => {
  await using world = makeWorld();
  await makeImage(world, "plain");
  const words = ["run", "--name", "box", "--network", "none", "-v", "/data", "-v", "/made/here", "plain"];
  const script = "ls /data; stat -c '%a %u' /made/here; echo 1 >/made/here/1";
  const { code, stdout, stderr } = await world.cli([...words, "/bin/sh", "-c", script]);
  assert.deepEqual([code, stderr, stdout], [0, "", "file\nlink\nsub\n755 0\n"]);
  const [record] = listContainers(world.folders.containers);
  const volumes = `${world.folders.containers}/${record?.id}/volumes`;
  assert.equal(Deno.readTextFileSync(`${volumes}/made%2Fhere/1`), "1\n");
  assert.equal((await world.cli(["rm", "box"])).code, 0);
  assert.deepEqual(foldersOf(world), []);
});

Deno.test("run -v: files are copied into volumes of a container that was never started, also where the image has no such folder", async () => {
  await using world = makeWorld();
  const { folders } = world, own = `${world.home}/own`;
  Deno.mkdirSync(own);
  const volumes = ["/new/own", `${own}:/new/bound`];
  const id = await create("busybox", ["cat", "/new/own/1", "/new/bound/2"], {
    ...folders,
    network,
    volumes,
    keep: true,
  });
  const write = async (name: string, folder: string): Promise<void> => {
    Deno.writeTextFileSync(`${world.home}/${name}`, `${name}\n`);
    const { code, stderr } = await world.cli(["cp", `${world.home}/${name}`, `${id}:${folder}`]);
    assert.deepEqual([code, stderr], [0, ""]);
  };
  await write("1", "/new/own");
  await write("2", "/new/bound");
  assert.equal((await world.cli(["start", "--attach", id])).stdout, "1\n2\n");
  assert.equal((await world.cli(["diff", id])).stdout, "");
  assert.equal((await world.cli(["rm", id])).code, 0);
});

Deno.test("run -v: a volume is writable in a container whose root is not", async () => {
  await using world = makeWorld();
  await makeImage(world, "app", "/data");
  assert.equal(await say(world, "app", "echo 1 >/data/1 && cat /data/1", { readOnly: true }), "1\n");
});

Deno.test("run -v: volumes of a hostile image reach nothing outside of it", async (t) => {
  await using world = makeWorld();
  const { folders } = world;
  const refused: readonly (readonly [string, readonly string[], string])[] = [
    ["the root", ["/"], "bad-mount"],
    ["the root by a detour", ["/a/../.."], "bad-mount"],
    ["/proc", ["/proc"], "bad-mount"],
    ["a file of /proc", ["proc/sys/kernel"], "bad-mount"],
    ["/dev", ["/dev/"], "bad-mount"],
    ["a colon", ["/a:/b"], "bad-mount"],
    ["a NUL", ["/a\0"], "bad-mount"],
    ["a hundred and one", Array.from({ length: 101 }, (_, i) => `/v${i}`), "bad-mount"],
    ["a name that is too long", [`/${"é".repeat(100)}/${"é".repeat(100)}`], "bad-mount"],
    ["a file", ["/etc/mine"], "volume-on-file"],
  ];
  for (const [what, volumes, code] of refused) {
    await t.step(what, async () => {
      await makeImage(world, "bad", ...volumes);
      await assert.rejects(output("bad", ["/bin/ls"], { ...folders, network }), { code });
      await assert.rejects(create("bad", ["/bin/ls"], { ...folders, network }), { code });
      assert.deepEqual(foldersOf(world), []);
    });
  }
  await t.step("a link out of the image", async () => {
    await makeImage(world, "link", "/out", "../../data");
    const list = await say(world, "link", "ls /out/ /etc/ /data", { readOnly: true });
    assert.equal(list, "/data:\nfile\nlink\nsub\n\n/etc/:\nmine\n\n/out/:\nmine\n");
  });
});

Deno.test("explain shows a container's own volume, and makes none", async () => {
  await using world = makeWorld();
  await makeImage(world, "app", "/data");
  const { code, stdout } = await world.cli(["explain", "--network", "none", "app", "/bin/ls"]);
  assert.equal(code, 0);
  assert.match(stdout, /# mount \S+\/volumes\/data on \/data/);
  assert.deepEqual(foldersOf(world), []);
});

Deno.test("run -v: a volume that does not fit on the disk leaves no container", async () => {
  await using world = makeWorld();
  await makeImage(world, "app", "/bin");
  const containers = `${world.home}/small`;
  await Deno.mkdir(containers);
  await host("mount", "-t", "tmpfs", "-o", "size=200k,mode=700", "small", containers);
  try {
    await assert.rejects(run("app", ["/bin/ls"], { ...world.folders, containers, network }), /No space left|ENOSPC/);
    assert.deepEqual(foldersOf({ ...world, folders: { ...world.folders, containers } }), []);
  } finally {
    await host("umount", containers);
  }
});
