import assert from "node:assert/strict";
import { ImageError } from "../../lib/errors.ts";
import { verifyImages } from "../../lib/image/manage.ts";
import {
  commitContainer,
  importImage,
  listImages,
  loadImages,
  output,
  pullImage,
  pushImage,
  run,
  saveImages,
} from "../../mod.ts";
import { host } from "../helpers/inside.ts";
import { assertApart } from "../helpers/network.ts";
import { type RealRegistry, startRegistry } from "../helpers/docker_registry.ts";
import { noise } from "../helpers/registry.ts";
import { commandLine } from "../helpers/project.ts";
import { makeWorld, type World } from "../helpers/world.ts";

assertApart();

const MB = 2 ** 20;

/** A folder with two files, which nothing can compress. */
async function makeSource(folder: string, megabytes: number): Promise<string> {
  await Deno.mkdir(`${folder}/sub`, { recursive: true });
  await Deno.writeFile(`${folder}/large`, noise((megabytes - 1) * MB, 5));
  await Deno.writeFile(`${folder}/sub/small`, noise(MB, 6));
  return folder;
}

/** An image of several layers in a registry; its name. */
async function pushLayers(world: World, registry: RealRegistry, layers: number, size: number): Promise<string> {
  const { folders, home } = world, name = `${registry.host}/faults:1`;
  await importImage(world.image, "layer0", folders);
  for (let i = 1; i < layers; i++) {
    await Deno.writeFile(`${home}/noise`, noise(size, i));
    const script = `cp /noise /bin/noise${i}; mkdir /d${i}; for n in $(seq 200); do echo $n >/d${i}/$n; done`;
    const options = { ...folders, network: "none", keep: true, name: `box${i}`, volumes: [`${home}/noise:/noise:ro`] };
    const { code } = await output(`layer${i - 1}`, ["/bin/sh", "-c", script], options);
    assert.equal(code, 0);
    await commitContainer(`box${i}`, `layer${i}`, folders);
  }
  await pushImage(`layer${layers - 1}`, { ...folders, to: name });
  return name;
}

/** What is left of work that was not completed, but for small documents, which prune takes away. */
function restsIn(images: string): string[] {
  const names = (folder: string): string[] =>
    [...Deno.readDirSync(`${images}/.store/${folder}`)].map(({ name }) => name);
  const partial = names("partial").filter((name) => !name.startsWith("document-"));
  return [...partial, ...names("layers").filter((name) => name.startsWith("."))];
}

Deno.test("pull: a disk that is full at any moment is named, leaves nothing half made, and is gone on with after room is made", async (t) => {
  await using world = makeWorld();
  await using registry = await startRegistry();
  const { home, folders } = world, small = `${home}/full`, archive = `${home}/saved.tar`;
  const source = await makeSource(`${home}/source`, 3), name = `${registry.host}/full:1`;
  await host("tar", "-czf", `${home}/source.tar.gz`, "-C", source, ".");
  await importImage(source, name, folders);
  await pushImage(name, folders);
  await saveImages([name], archive, { ...folders, format: "oci" });
  await using box = await run("busybox", ["/bin/sh", "-c", "dd if=/dev/urandom of=/noise bs=1M count=3 2>/dev/null"], {
    ...folders,
    network: "none",
    keep: true,
    name: "box",
  });
  await box.status;

  await Deno.mkdir(small);
  await host("mount", "-t", "tmpfs", "-o", "size=16k", "full", small);
  const images = `${small}/images`, there = { images, containers: folders.containers };
  const works: readonly (readonly [string, () => Promise<unknown>])[] = [
    ["pull", () => pullImage(name, there)],
    ["load", () => loadImages(archive, there)],
    ["import of a folder", () => importImage(source, "a", there)],
    ["import of an archive", () => importImage(`${home}/source.tar.gz`, "a", there)],
    ["commit", () => commitContainer("box", "a", there)],
  ];
  try {
    for (const [what, work] of works) {
      await t.step(what, async () => {
        let failures = 0;
        for (let size = 16;; size = Math.ceil(size * 1.7)) {
          await host("mount", "-o", `remount,size=${size}k`, small);
          const error = await work().then(() => undefined, (error) => error);
          if (error === undefined) break;
          failures++;
          assert.ok(error instanceof ImageError && error.code === "store-full", `${size} KiB: ${error.stack}`);
          assert.ok(error.message.includes(`${images}/.store`), error.message);
          assert.deepEqual(await listImages(there), []);
          assert.ok(size < 20_000, "it never fits");
        }
        assert.ok(failures > 5);
        assert.equal((await listImages(there)).length, 1);
        assert.deepEqual(await verifyImages(images), []);
        assert.deepEqual(restsIn(images), []);
      });
      await host("mount", "-o", "remount,size=32m", small);
      await Deno.remove(images, { recursive: true });
    }
  } finally {
    await host("umount", small);
  }
});

Deno.test("pull: the command line says that the disk is full, and where", async () => {
  await using world = makeWorld();
  const { home } = world, small = `${home}/full`, source = await makeSource(`${home}/source`, 2);
  await Deno.mkdir(small);
  await host("mount", "-t", "tmpfs", "-o", "size=1m", "full", small);
  try {
    const { code, stdout, stderr } = await world.cli(["images", "import", "--images", `${small}/images`, source, "a"]);
    assert.deepEqual([code, stdout], [125, ""]);
    assert.ok(stderr.includes(`no space left for ${small}/images/.store`), stderr);
    assert.match(stderr, /sauropod images prune/);
  } finally {
    await host("umount", small);
  }
});

/** A way to a registry that is cut for good after so many bytes. */
function cuttableWay(registry: RealRegistry, bytes: number) {
  const [hostname = "", port] = registry.host.split(":");
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let left = bytes;
  const pass = async (from: Deno.Conn, to: Deno.Conn, counts: boolean): Promise<void> => {
    const buffer = new Uint8Array(1 << 14);
    for (let n = await from.read(buffer); n !== null; n = await from.read(buffer)) {
      if (counts && (left -= n) < 0) return void (from.close(), to.close());
      for (let done = 0; done < n;) done += await to.write(buffer.subarray(done, n));
    }
    to.close();
  };
  const serving = (async () => {
    for await (const client of listener) {
      if (left < 0) {
        client.close();
        continue;
      }
      const server = await Deno.connect({ hostname, port: Number(port) });
      pass(client, server, false).catch(() => {});
      pass(server, client, true).catch(() => {});
    }
  })();
  return {
    host: `127.0.0.1:${listener.addr.port}`,
    passed: () => bytes - left,
    mend: () => left = Infinity,
    async close() {
      listener.close();
      await serving;
    },
  };
}

Deno.test({
  name: "a network that is lost in the middle of a pull ends it after some tries, and the next one goes on from there",
  // What a connection that was cut leaves in the test's own relay is of no interest.
  sanitizeResources: false,
  sanitizeOps: false,
  async fn() {
    await using world = makeWorld();
    await using registry = await startRegistry();
    const { folders } = world;
    await importImage(await makeSource(`${world.home}/source`, 12), "source", folders);
    await pushImage("source", { ...folders, to: `${registry.host}/lost:1` });
    const way = cuttableWay(registry, 8 * MB), images = `${world.home}/other`;
    const there = { images, containers: folders.containers }, name = `${way.host}/lost:1`;
    try {
      await assert.rejects(pullImage(name, there), (error) => {
        assert.ok(error instanceof ImageError && error.code === "registry-unreachable", String(error));
        assert.match(error.hint ?? "", /try again: what has come so far is kept/);
        return true;
      });
      assert.deepEqual(await listImages(there), []);
      const kept = restsIn(images).filter((rest) => !rest.startsWith("."));
      assert.equal(kept.length, 1);
      const { size } = Deno.statSync(`${images}/.store/partial/${kept[0]}`);
      assert.ok(size > 6 * MB, `${size} bytes are kept`);
      way.mend();
      let least = Infinity;
      const onProgress = ({ done, phase }: { done: number; phase: string }): void => {
        if (phase === "downloading") least = Math.min(least, done);
      };
      await pullImage(name, { ...there, onProgress });
      assert.ok(least >= size, `it goes on from ${least} of ${size}`);
      assert.deepEqual(await verifyImages(images), []);
      assert.deepEqual(restsIn(images), []);
    } finally {
      await way.close();
    }
  },
});

Deno.test("a pull that is killed at any of twenty moments leaves a store that the next pull completes", async () => {
  await using world = makeWorld();
  await using registry = await startRegistry();
  const name = await pushLayers(world, registry, 4, 3 * MB);
  const [program = "", ...args] = commandLine(["images", "pull", "-q", "--images"]);
  let seed = 20_261_124, killed = 0;
  const random = (): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff;
  for (let round = 0; round < 20; round++) {
    const images = `${world.home}/killed${round}`, there = { images, containers: world.folders.containers };
    const child = new Deno.Command(program, { args: [...args, images, name], stdout: "null", stderr: "null" }).spawn();
    const timer = setTimeout(() => child.kill("SIGKILL"), 60 + 500 * random());
    const { signal } = await child.status;
    clearTimeout(timer);
    if (signal === "SIGKILL") killed++;
    const before = await listImages(there);
    assert.ok(
      before.length === 0 || (await verifyImages(images)).length === 0,
      "a name is given to what is whole only",
    );
    await pullImage(name, there);
    assert.deepEqual(await verifyImages(images), []);
    assert.deepEqual(restsIn(images), []);
    await Deno.remove(images, { recursive: true });
  }
  assert.ok(killed >= 10, `only ${killed} were killed before their end`);
});

Deno.test("a store on a file system that can only be read is run from, read and pushed from", async () => {
  await using world = makeWorld();
  await using registry = await startRegistry();
  const { home, folders: { containers, images: own } } = world, images = `${home}/read/images`;
  await Deno.mkdir(images, { recursive: true });
  await host("mount", "-t", "tmpfs", "-o", "size=32m", "read", `${home}/read`);
  try {
    await Deno.mkdir(images);
    await importImage(world.image, "app", { images: own, changes: { Cmd: ["/bin/sh", "-c", "echo ran"] } });
    await saveImages(["app"], `${home}/app.tar`, { images: own });
    await loadImages(`${home}/app.tar`, { images });
    await host("mount", "-o", "remount,ro", `${home}/read`);
    const { code, stdout } = await output("app", [], { images, containers, network: "none" });
    assert.deepEqual([code, new TextDecoder().decode(stdout)], [0, "ran\n"]);
    await saveImages(["app"], `${home}/saved.tar`, { images });
    await pushImage("app", { images, to: `${registry.host}/app:1` });
    assert.equal((await loadImages(`${home}/saved.tar`, { images: own })).length, 1);
    await assert.rejects(importImage(world.image, "other", { images }), /EROFS|Read-only/);
  } finally {
    await host("umount", `${home}/read`);
  }
});
