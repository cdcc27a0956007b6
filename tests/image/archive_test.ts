/** Archives in the folder of images, which are unpacked once. */

import assert from "node:assert/strict";
import { AT_FDCWD, statusAt } from "../../ffi/fs/fs.ts";
import { ImageError } from "../../lib/errors.ts";
import { findUnpacked, staleArchives, unpackOnce } from "../../lib/image/archive.ts";
import { output } from "../helpers/host_program.ts";
import { bytesOf, concat, type Item, item, tar } from "../helpers/tar.ts";
import { type Bytes, file, folder, inBox } from "../helpers/unpacking.ts";

function descriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

async function archiveIn(box: string, ...items: (Item | Bytes)[]): Promise<string> {
  const path = `${box}/image.tar`;
  await Deno.writeFile(path, tar(...items));
  return path;
}

Deno.test("unpackOnce: an archive is unpacked once, and again when it changes", () =>
  inBox(async (box) => {
    const store = `${box}/store`, path = await archiveIn(box, file("a", "1"));
    assert.equal(findUnpacked(path, store), undefined);
    const first = await unpackOnce(path, store), ino = statusAt(AT_FDCWD, first).ino;
    assert.equal(findUnpacked(path, store), first);
    assert.equal(await unpackOnce(path, store), first);
    assert.equal(statusAt(AT_FDCWD, first).ino, ino);
    assert.deepEqual(staleArchives(store, [path]), []);
    await archiveIn(box, file("a", "22"), file("b"));
    assert.equal(findUnpacked(path, store), undefined);
    const second = await unpackOnce(path, store);
    assert.notEqual(second, first);
    assert.equal(await Deno.readTextFile(`${second}/a`), "22");
    assert.deepEqual(staleArchives(store, [path]), [first.replace(/\/rootfs$/, "")]);
    assert.equal(staleArchives(store, [`${box}/none.tar`]).length, 2);
    assert.deepEqual(staleArchives(`${box}/none`, []), []);
  }));

Deno.test("unpackOnce: what cannot be unpacked leaves nothing and names the archive", () =>
  inBox(async (box) => {
    const store = `${box}/store`;
    const rows: [Bytes, string][] = [
      [tar(file("a"), file("../b")), "archive-unsafe"],
      [tar(), "archive-malformed"],
      [bytesOf("no archive at all ".repeat(99)), "archive-malformed"],
      [new Uint8Array(), "archive-truncated"],
      [tar(file("manifest.json", '[{"Config":"c","RepoTags":[],"Layers":["l"]}]')), "archive-unsupported"],
      [tar(file("oci-layout", '{"imageLayoutVersion":"1.0.0"}')), "archive-unsupported"],
      [await output("xz", ["-c"], tar(file("a"))), "archive-unsupported"],
    ];
    for (const [archive, code] of rows) {
      const path = `${box}/image.tar`, open = descriptors();
      await Deno.writeFile(path, archive);
      await assert.rejects(unpackOnce(path, store), (error) => {
        assert.ok(error instanceof ImageError, String(error));
        assert.equal(error.code, code, error.message);
        assert.ok(error.message.startsWith(path));
        assert.equal(error.facts.archive, path);
        return true;
      });
      assert.deepEqual([...Deno.readDirSync(store)], []);
      assert.equal(descriptors(), open);
    }
    await assert.rejects(unpackOnce(`${box}/none.tar`, store), { code: "image-not-found" });
  }));

Deno.test("unpackOnce: a root file system that happens to have a manifest.json is one", () =>
  inBox(async (box) => {
    const path = await archiveIn(box, file("manifest.json", '["a"]'), folder("oci-layout"));
    await unpackOnce(path, `${box}/store`);
  }));

Deno.test("unpackOnce: four processes that want an archive at once unpack it once", () =>
  inBox(async (box) => {
    const items = Array.from({ length: 2000 }, (_, i) => file(`d${i % 10}/f${i}`, `${i}`.repeat(50)));
    const path = await archiveIn(box, ...items), store = `${box}/store`;
    const module = new URL("../../lib/image/archive.ts", import.meta.url).href;
    const script = `${box}/unpack.ts`;
    await Deno.writeTextFile(
      script,
      `import { unpackOnce } from ${JSON.stringify(module)};
       const rootfs = await unpackOnce(...Deno.args);
       console.log(rootfs, Deno.statSync(rootfs).ino, [...Deno.readDirSync(rootfs + "/d9")].length);`,
    );
    const run = () => output(Deno.execPath(), ["run", "-A", "--no-config", "--no-check", script, path, store]);
    const results = await Promise.all([run(), run(), run(), run()]);
    const lines = new Set(results.map((bytes) => new TextDecoder().decode(bytes).trim()));
    assert.equal(lines.size, 1, [...lines].join("\n"));
    assert.ok([...lines][0]?.endsWith(" 200"));
    assert.equal([...Deno.readDirSync(store)].length, 1);
  }));

Deno.test("unpackOnce: what a killed unpacking left is removed by the next one", () =>
  inBox(async (box) => {
    const path = await archiveIn(box, file("a")), store = `${box}/store`;
    const module = new URL("../../lib/image/archive.ts", import.meta.url).href;
    const big = `${box}/big.tar`, script = `${box}/unpack.ts`;
    await output("mkfifo", [big]);
    await Deno.writeTextFile(
      script,
      `import { unpackOnce } from ${JSON.stringify(module)};\nawait unpackOnce(...Deno.args);`,
    );
    const args = ["run", "-A", "--no-config", "--no-check", script, big, store];
    const child = new Deno.Command(Deno.execPath(), { args, stdout: "null", stderr: "null" }).spawn();
    // It waits for the rest of the archive when it is killed.
    const fifo = await Deno.open(big, { write: true });
    await fifo.write(concat(item(file("half/a")), new Uint8Array(512)));
    const leftover = () => [...Deno.readDirSync(store)].map((entry) => entry.name);
    const started = () => {
      try {
        return leftover().some((name) => Deno.statSync(`${store}/${name}/rootfs/half/a`).isFile);
      } catch {
        return false;
      }
    };
    while (!started()) await new Promise((resolve) => setTimeout(resolve, 5));
    await unpackOnce(path, store);
    assert.equal(leftover().length, 2);
    child.kill("SIGKILL");
    await child.status;
    fifo.close();
    const [temporary] = leftover().filter((name) => name.startsWith("."));
    assert.ok(temporary);
    await archiveIn(box, file("a", "again"));
    await unpackOnce(path, store);
    assert.deepEqual(leftover().filter((name) => name.startsWith(".")), []);
    assert.equal(leftover().length, 2);
  }));
