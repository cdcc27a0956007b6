/** Images of very many layers, and of very many folders that layers only imply. */

import assert from "node:assert/strict";
import { ensureParentDirLayer } from "../../lib/store/missing_parents.ts";
import { MAX_LAYERS } from "../../lib/oci.ts";
import { findNamed } from "../../lib/store/stored.ts";
import { readImage, storeFolder } from "../../lib/store/store.ts";
import { commitContainer, loadImages, output, run } from "../../mod.ts";
import { host, text } from "../helpers/inside.ts";
import { makeLayout } from "../helpers/registry.ts";
import { type Item, tar } from "../helpers/tar.ts";
import { makeWorld, type World } from "../helpers/world.ts";

const BUSYBOX: readonly Item[] = [
  { name: "bin/", type: "5", mode: 0o755 },
  { name: "bin/busybox", body: Deno.readFileSync("/bin/busybox"), mode: 0o755 },
  { name: "bin/sh", type: "2", target: "busybox" },
  { name: "f/", type: "5", mode: 0o1777 },
];

async function load(world: World, layers: readonly (readonly Item[])[]): Promise<void> {
  const layout = await Deno.makeTempDir({ dir: world.home });
  await makeLayout(layout, layers.map((items) => tar(...items)));
  await loadImages(layout, world.folders);
}

function files(count: number): Item[][] {
  return Array.from({ length: count }, (_, i) => [{ name: `f/${i}`, body: String(i) }]);
}

Deno.test("pull: an image of 499 layers runs, more than mount(2) can name at once, and is committed up to 500", async () => {
  await using world = makeWorld();
  const { folders } = world, options = { ...folders, network: "none" as const };
  await load(world, [BUSYBOX, ...files(MAX_LAYERS - 2)]);
  const script = "set -- /f/*; echo $#; cat /f/0 /f/497; echo new > /f/new; busybox stat -c %a /f";
  const { code, stdout, stderr } = await output("one", ["/bin/sh", "-c", script], options);
  assert.deepEqual([code, text(stdout), text(stderr)], [0, "498\n04971777\n", ""]);
  const box = async (image: string, name: string): Promise<void> => {
    await using container = await run(image, ["/bin/sh", "-c", "echo more > /f/more"], {
      ...options,
      keep: true,
      name,
    });
    assert.equal((await container.status).code, 0);
  };
  await box("one", "first");
  await commitContainer("first", "two", folders);
  const committed = findNamed(storeFolder(folders.images), "two");
  assert.ok(committed);
  assert.equal(readImage(storeFolder(folders.images), committed.descriptor).manifest.layers.length, MAX_LAYERS);
  const again = await world.cli(["explain", "one", "/bin/sh"]);
  assert.match(again.stdout, /fsconfig\(.*FSCONFIG_SET_STRING, "lowerdir\+", "[0-9a-f]{20}\/diff"/);
});

Deno.test("images load of more than 500 layers is refused by name", async () => {
  await using world = makeWorld();
  await assert.rejects(load(world, [BUSYBOX, ...files(MAX_LAYERS)]), {
    code: "image-unsupported",
    message: /has 501 layers, and at most 500 can be used/,
  });
});

Deno.test("pull: forty layers that imply a thousand folders each are made ready in time that grows with them", async () => {
  await using world = makeWorld();
  const { images } = world.folders, store = storeFolder(images);
  // In memory: making the files is not what is measured.
  await Deno.mkdir(store);
  await host("mount", "-t", "tmpfs", "store", store);
  try {
    const layers = Array.from(
      { length: 40 },
      (_, layer) => Array.from({ length: 1000 }, (_, i): Item => ({ name: `d/${layer % 20}-${i}/${layer}`, body: "" })),
    );
    const lowest = Array.from({ length: 50 }, (_, i): Item => ({ name: `d/0-${i}/`, type: "5", mode: 0o700 }));
    await load(world, [[...BUSYBOX, ...lowest], ...layers]);
    const image = findNamed(store, "one");
    assert.ok(image);
    const documents = readImage(store, image.descriptor);
    await assert.rejects(ensureParentDirLayer(store, documents, AbortSignal.timeout(50)), { name: "TimeoutError" });
    const since = performance.now();
    await ensureParentDirLayer(store, documents);
    const took = performance.now() - since;
    assert.ok(took < 25_000, `it took ${took} ms`);
    const command = ["/bin/sh", "-c", "busybox stat -c %a /d/0-49 /d/0-50; set -- /d/0-49/*; echo $#"];
    const { stdout } = await output("one", command, { ...world.folders, network: "none" });
    assert.equal(text(stdout), "700\n755\n2\n");
  } finally {
    await host("umount", store);
  }
});
