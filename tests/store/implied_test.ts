import assert from "node:assert/strict";
import { verifyImages } from "../../lib/image/manage.ts";
import { pruneStore, removeImage } from "../../lib/build/remove_images.ts";
import { resolveStored } from "../../lib/store/stored.ts";
import { storeFolder, usersOf } from "../../lib/store/store.ts";
import { loadImages, output } from "../../mod.ts";
import { host, text } from "../helpers/inside.ts";
import { succeed } from "../helpers/host_program.ts";
import { makeLayout } from "../helpers/registry.ts";
import { type Item, tar } from "../helpers/tar.ts";
import { treeOf } from "../helpers/tree.ts";
import { makeWorld, type World } from "../helpers/world.ts";

const OLD = 1_000_000_000;

function folder(name: string, mode: number, more: Partial<Item> = {}): Item {
  return { name: `${name}/`, type: "5", mode, mtime: OLD + name.length, ...more };
}

function file(name: string): Item {
  return { name, body: name, mtime: OLD };
}

const LAYERS: readonly (readonly Item[])[] = [
  [
    folder(".", 0o750, { uid: 5 }),
    folder("tmp", 0o1777),
    folder("opt", 0o711),
    folder("opt/app", 0o700, { uid: 1000, gid: 1001 }),
    file("opt/app/kept"),
    folder("opaque", 0o700, { uid: 7 }),
    file("opaque/hidden"),
    folder("again", 0o710),
    folder("gone", 0o700),
    folder("plain", 0o755, { mtime: OLD }),
    folder("deep", 0o700),
    folder("deep/er", 0o701),
    folder("deep/er/est", 0o702),
  ],
  [file("tmp/x"), file("opt/app/bin/tool"), { name: "opaque/.wh..wh..opq" }, file("opaque/new"), { name: ".wh.gone" }],
  [folder("again", 0o770), file("plain/y"), file("deep/er/est/z")],
  [file("again/y"), file("gone/back"), file("opt/app/more")],
];
/** Folders whose times umoci makes those of the unpacking, as it makes folders in them. */
const FRESH = ["", "/opt/app", "/opt/app/bin", "/gone"];

async function loaded(world: World, layers: readonly (readonly Item[])[]): Promise<string> {
  const layout = await Deno.makeTempDir({ dir: world.home });
  await makeLayout(layout, layers.map((items) => tar(...items)));
  await loadImages(layout, world.folders);
  return layout;
}

/** A tree without the times of some of its folders. */
function described(path: string): Map<string, string> {
  return new Map([...treeOf(path)].map(([name, words]) => {
    return [name, FRESH.includes(name) ? words.replace(/ @\d+/, "") : words];
  }));
}

async function whileMounted(world: World, lower: readonly string[], work: (target: string) => Promise<void> | void) {
  const target = `${world.home}/mounted`;
  await Deno.mkdir(target);
  await host("mount", "-t", "overlay", "overlay", "-o", `ro,lowerdir=${lower.join(":")}`, target);
  try {
    await work(target);
  } finally {
    await host("umount", target);
  }
}

Deno.test("ensureParentDirLayer: folders that a layer only implies are those of the layers below, as umoci unpacks them", async () => {
  await using world = makeWorld();
  const layout = await loaded(world, LAYERS);
  await succeed(["umoci", "unpack", "--image", `${layout}:one`, `${world.home}/bundle`]);
  const image = await resolveStored("one", world.folders.images);
  image?.release?.();
  assert.ok(image);
  assert.equal(image.lower.length, LAYERS.length + 1);
  await whileMounted(world, image.lower, (target) => {
    const ours = described(target), theirs = described(`${world.home}/bundle/rootfs`);
    assert.match(ours.get("/tmp") ?? "", /^41777 /);
    assert.match(treeOf(target).get("/opt/app") ?? "", /^40700 1000:1001 @1000000007/);
    assert.deepEqual([...ours].sort(), [...theirs].sort());
  });
});

Deno.test("ensureParentDirLayer: an image whose layers hide nothing gets no layer more", async () => {
  await using world = makeWorld();
  const plain = [[file("a/b")], [file("a/c"), folder("d", 0o700)], [folder("d", 0o711), file("d/e")]];
  await loaded(world, plain);
  const image = await resolveStored("one", world.folders.images);
  image?.release?.();
  assert.equal(image?.lower.length, plain.length);
});

Deno.test("ensureParentDirLayer: the layer of implied folders stays as long as somebody needs it", async () => {
  await using world = makeWorld();
  const { folders } = world;
  const busybox: Item[] = [
    folder("bin", 0o755),
    { name: "bin/busybox", body: Deno.readFileSync("/bin/busybox"), mode: 0o755 },
    { name: "bin/stat", type: "2", target: "busybox" },
    folder("tmp", 0o1777),
  ];
  await loaded(world, [busybox, [file("tmp/x")]]);
  const command = ["/bin/stat", "-c", "%a", "/tmp"];
  const run = async (): Promise<string> => text((await output("one", command, { ...folders, network: "none" })).stdout);
  assert.equal(await run(), "1777\n");
  await pruneStore(folders.images);
  assert.deepEqual(await verifyImages(folders.images), []);
  assert.equal(await run(), "1777\n");
  const store = storeFolder(folders.images);
  const layers = (): string[] => [...Deno.readDirSync(`${store}/layers`)].map(({ name }) => name).sort();
  assert.equal(layers().length, 3);
  await removeImage(folders.images, "one");
  assert.deepEqual(layers(), []);
});

Deno.test("ensureParentDirLayer: folders of containers with long and similar paths are all remembered as users of an image", async () => {
  await using world = makeWorld();
  await loaded(world, [[file("a/b")]]);
  const long = `/${"x".repeat(120)}`.repeat(3);
  const users = [`${long}/one${long}`, `${long}/two${long}`, "/a/b", "/a%2Fb"];
  for (const containers of [...users, ...users]) {
    (await resolveStored("one", world.folders.images, { containers }))?.release?.();
  }
  assert.deepEqual(usersOf(storeFolder(world.folders.images)).sort(), users.sort());
});
