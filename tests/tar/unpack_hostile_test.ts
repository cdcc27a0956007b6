/** Archives that are hostile to who unpacks them. */

import assert from "node:assert/strict";
import { ImageError } from "../../lib/errors.ts";
import type { UnpackOptions } from "../../lib/tar/unpack.ts";
import { randomFrom } from "../helpers/random.ts";
import { concat, item, pax, tar } from "../helpers/tar.ts";
import { type Bytes, file, folder, hard, inBox, link, listing, unpackTo } from "../helpers/unpacking.ts";

function descriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

const deep = "d/".repeat(10_001) + "f";
const HOSTILE: [string, Bytes, string, UnpackOptions?][] = [
  ["a name that climbs out", tar(file("../outside/x")), "archive-unsafe"],
  ["a name that climbs out later", tar(file("a/b/../../../outside/x")), "archive-unsafe"],
  ["a name that climbs, but not out", tar(file("a/../b")), "archive-unsafe"],
  ["a name that is ..", tar(folder("..")), "archive-unsafe"],
  ["an extended name that climbs out", tar(pax({ path: "../outside/x" }), file("x")), "archive-unsafe"],
  [
    "a long name that climbs out",
    tar(item({ name: "@", type: "L", body: "../outside/x\0", magic: "gnu" }), file("x")),
    "archive-unsafe",
  ],
  ["a prefix that climbs out", tar({ name: "x", prefix: "../outside" }), "archive-unsafe"],
  ["a file through a relative link", tar(link("l", "../outside"), file("l/x")), "archive-unsafe"],
  ["a file through an absolute link", tar(link("l", "/tmp"), file("l/x")), "archive-unsafe"],
  ["a file through a link inside", tar(folder("d"), link("l", "d"), file("l/x")), "archive-unsafe"],
  ["a file through links of links", tar(link("a", "b"), link("b", "../outside"), file("a/x")), "archive-unsafe"],
  ["a deep file through a link", tar(folder("d"), link("d/l", "../../outside"), file("d/l/a/b")), "archive-unsafe"],
  ["a folder through a link", tar(link("l", "../outside"), folder("l/x")), "archive-unsafe"],
  ["a link through a link", tar(link("l", "../outside"), link("l/x", "y")), "archive-unsafe"],
  ["a FIFO through a link", tar(link("l", "../outside"), { name: "l/x", type: "6" }), "archive-unsafe"],
  [
    "a file through a folder that became a link",
    tar(file("d/a"), link("d", "../outside"), file("d/secret")),
    "archive-unsafe",
  ],
  ["a file through a file", tar(file("f"), file("f/x")), "archive-unsafe"],
  ["a file through a FIFO", tar({ name: "f", type: "6" }, file("f/x")), "archive-unsafe"],
  ["a hard link to what is outside", tar(hard("x", "../outside/secret")), "archive-unsafe"],
  ["a hard link to what is outside, absolute", tar(hard("x", "/etc/passwd")), "unpack-failed"],
  ["a hard link through a link", tar(link("l", "../outside"), hard("x", "l/secret")), "archive-unsafe"],
  [
    "a hard link through a folder that became a link",
    tar(file("d/secret"), hard("a", "d/secret"), link("d", "../outside"), hard("x", "d/secret")),
    "archive-unsafe",
  ],
  ["a hard link to nothing", tar(hard("x", "nothing")), "unpack-failed"],
  ["a hard link to itself", tar(file("x"), hard("x", "x")), "unpack-failed"],
  ["a hard link to a folder", tar(folder("d"), hard("x", "d")), "archive-unsafe"],
  ["a hard link to the root", tar(hard("x", "./")), "archive-unsafe"],
  ["a link without a target", tar(link("x", "")), "unpack-failed"],
  ["a file in place of the root", tar(file("./")), "archive-malformed"],
  ["a link in place of the root", tar(link("/", "/")), "archive-unsafe"],
  ["a name of too many parts", tar(pax({ path: deep }), file("x")), "archive-too-large"],
  ["a name that is too long", tar(pax({ path: "n".repeat(300) }), file("x")), "unpack-failed"],
  [
    "a path that is too long",
    tar(pax({ path: ("n".repeat(200) + "/").repeat(330) + "x" }), file("x")),
    "archive-too-large",
  ],
  ["too many entries", tar(file("a"), file("b"), file("c")), "archive-too-large", { limits: { entries: 2 } }],
  ["too many folders without entries", tar(file("a/b/c/d")), "archive-too-large", { limits: { entries: 3 } }],
  ["a body above the limit", tar(file("a", "x".repeat(9000))), "archive-too-large", { limits: { bytes: 8000 } }],
  ["a size that is a lie, far above the limit", tar({ name: "a", size: 2 ** 33 - 1 }), "archive-too-large", {
    limits: { bytes: 2 ** 30 },
  }],
  ["zeros above the limit", concat(tar(file("a")), new Uint8Array(9000)), "archive-too-large", {
    limits: { bytes: 8000 },
  }],
  ["a size that reaches into the end", tar({ name: "a", body: "x", size: 9000 }), "archive-truncated"],
  ["a size that is too small", tar({ name: "a", body: "x".repeat(600), size: 10 }), "archive-malformed"],
  ["a whiteout of nothing", tar(file(".wh.")), "archive-unsafe", { layer: true }],
  ["a whiteout of .", tar(file("d/.wh..")), "archive-unsafe", { layer: true }],
  ["a whiteout of ..", tar(file("d/.wh...")), "archive-unsafe", { layer: true }],
  ["a whiteout as a folder", tar(file(".wh./x")), "archive-unsafe", { layer: true }],
  ["a whiteout below a whiteout", tar(file(".wh.a/.wh.b")), "archive-unsafe", { layer: true }],
  ["a whiteout that is a link", tar(link(".wh.a", "../outside")), "archive-unsafe", { layer: true }],
  ["a whiteout that is a folder", tar(folder(".wh.a")), "archive-unsafe", { layer: true }],
  ["a whiteout of a whiteout", tar(file(".wh..wh.x")), "archive-unsafe", { layer: true }],
  ["a whiteout through a link", tar(link("l", "../outside"), file("l/.wh.secret")), "archive-unsafe", { layer: true }],
  ["an opaque mark through a link", tar(link("l", "../outside"), file("l/.wh..wh..opq")), "archive-unsafe", {
    layer: true,
  }],
];

for (const [what, archive, code, options] of HOSTILE) {
  Deno.test(`unpacking refuses ${what}`, () =>
    inBox(async (box) => {
      const before = await listing(`${box}/outside`), open = descriptors();
      await assert.rejects(unpackTo(`${box}/root`, archive, options), (error) => {
        assert.ok(error instanceof ImageError, String(error));
        assert.equal(error.code, code, error.message);
        return true;
      });
      assert.deepEqual(await listing(`${box}/outside`), before);
      assert.equal(descriptors(), open);
    }));
}

Deno.test("unpack: an error names the entry and the link in its way", () =>
  inBox(async (box) => {
    await assert.rejects(unpackTo(`${box}/root`, tar(link("a", "/etc"), file("a/b"))), {
      message: 'the archive is unsafe: "a/b" goes through "a", which is a symbolic link',
    });
  }));

Deno.test("unpack: a mutated archive writes nothing outside and ends in success or an ImageError", async () => {
  const random = randomFrom(4711);
  const pick = (limit: number): number => Math.floor(random() * limit);
  const names = ["a", "b", "a/b", "b/a", "a/b/c", "../outside/secret", "/a", ".wh.a", "a/.wh..wh..opq", "./"];
  const targets = [...names, "../outside", "../outside/secret", "..", "/tmp"];
  const one = (list: readonly string[]): string => list[pick(list.length)] ?? "a";
  let done = 0, refused = 0;
  await inBox(async (box) => {
    const before = await listing(`${box}/outside`), open = descriptors();
    for (let round = 0; round < 400; round++) {
      const items = Array.from({ length: 1 + pick(6) }, () => {
        const type = one(["0", "0", "1", "2", "5", "5", "6"]);
        return { name: one(names), type, target: one(targets), body: type === "0" ? "evil" : "", mode: pick(0o10000) };
      });
      const archive = tar(...items);
      if (!pick(4)) archive[pick(archive.length)] = pick(256);
      const root = `${box}/root/${round}`;
      await Deno.mkdir(root);
      try {
        await unpackTo(root, archive, { layer: pick(2) === 1 });
        done++;
      } catch (error) {
        assert.ok(error instanceof ImageError, `round ${round}: ${error}`);
        refused++;
      }
    }
    assert.deepEqual(await listing(`${box}/outside`), before);
    assert.deepEqual([...Deno.readDirSync(box)].map((entry) => entry.name).sort(), ["outside", "root"]);
    assert.equal(descriptors(), open);
  });
  assert.ok(done > 20 && refused > 20, `${done} done, ${refused} refused`);
});
