/** Containers whose image is an archive. */

import assert from "node:assert/strict";
import { ImageError, output } from "../../../mod.ts";
import { host, inside, say } from "../../helpers/inside.ts";
import { hasAlpine } from "../../helpers/project.ts";
import { makeWorld, type World } from "../../helpers/world.ts";
import { refused } from "../../helpers/unchanged.ts";
import { skipHere } from "../../helpers/skip.ts";

const world = makeWorld();
Deno.test.afterAll(async () => await world[Symbol.asyncDispose]());

const ARCHIVES: readonly (readonly [ending: string, pack: string])[] = [
  ["tar", "cat"],
  ["tar.gz", "gzip -1"],
  ["tgz", "gzip -1"],
  ["tar.zst", "node:zlib"],
];

async function pack(world: World, ending: string, packer: string): Promise<void> {
  const { folders: { images } } = world;
  const target = `${images}/packed.${ending}`;
  if (packer !== "node:zlib") {
    await host("sh", "-c", `tar -C "$1/busybox" -cf - . | ${packer} > "$2"`, "sh", images, target);
    return;
  }
  const { zstdCompressSync } = await import("node:zlib");
  await host("tar", "-C", `${images}/busybox`, "-cf", `${images}/plain`, ".");
  Deno.writeFileSync(target, new Uint8Array(zstdCompressSync(Deno.readFileSync(`${images}/plain`))));
}

for (const [ending, packer] of ARCHIVES) {
  Deno.test(`run: an image can be an archive packed as .${ending}`, async () => {
    await using world = makeWorld();
    await pack(world, ending, packer);
    const image = "packed";
    for (let i = 0; i < 2; i++) assert.equal(await say(world, "head -n 1 /etc/group", { image }), "root:x:0:\n");
    assert.equal(await say(world, ["stat", "-c", "%a", "/tmp"], { image }), "1777\n");
    assert.equal((await world.cli(["--rm", "packed", "id", "-un"])).stdout, "root\n");
  });
}

Deno.test("concurrent first runs of one archive all succeed, and it is unpacked once", async () => {
  await using world = makeWorld();
  await pack(world, "tar.gz", "gzip -1");
  const words = ["--rm", "packed", "sh", "-c", "ls /bin | wc -l; cat /etc/passwd | wc -l"];
  const others = [world.cli(words), world.cli(words), world.cli(words)];
  const script = words.slice(4).join(" ");
  const ours = Array.from({ length: 4 }, () => inside(world, script, { image: "packed" }));
  const results = await Promise.all([...others, ...ours]);
  const [first] = results;
  assert.deepEqual(first?.code, 0);
  for (const result of results) assert.deepEqual(result, first);
  const unpacked = [...Deno.readDirSync(`${world.folders.images}/.unpacked`)].filter(({ isDirectory }) => isDirectory);
  assert.equal(unpacked.length, 1, unpacked.map(({ name }) => name).join(" "));
});

Deno.test("an archive that is cut short is refused, and runs once it has been mended", async () => {
  await using world = makeWorld();
  await pack(world, "tar.gz", "gzip -1");
  const path = `${world.folders.images}/packed.tar.gz`;
  const bytes = Deno.readFileSync(path);
  Deno.writeFileSync(path, bytes.subarray(0, bytes.length / 2));
  await refused(world, ImageError, { image: "packed" });
  Deno.writeFileSync(path, bytes);
  assert.equal(await say(world, "echo ran", { image: "packed" }), "ran\n");
});

Deno.test(
  "real Alpine runs from its archive",
  { ignore: skipHere("the archive of Alpine is not there", !hasAlpine()) },
  async () => {
    await using world = makeWorld();
    const { stdout } = await output("alpine", ["cat", "/etc/alpine-release"], world.folders);
    assert.equal(new TextDecoder().decode(stdout), "3.20.3\n");
  },
);
