import assert from "node:assert/strict";
import { AT_FDCWD, close, mknodAt, openAt, S_IF, statusAt, symlinkAt, utimesAt } from "../../ffi/fs/fs.ts";
import { setXattr } from "../../ffi/fs/xattrs.ts";
import { flags } from "../../ffi/program/flags.ts";
import { ImageError } from "../../lib/errors.ts";
import { unpackLayer, type UnpackLayerOptions } from "../../lib/store/unpack_layer.ts";
import { packLayer } from "../../lib/store/pack_layer.ts";
import { removeTree } from "../../lib/tar/tree.ts";
import { output } from "../helpers/host_program.ts";
import { randomFrom } from "../helpers/random.ts";
import { bytesOf, concat, type Item, item, pax, tar } from "../helpers/tar.ts";
import { type Tree, treeOf } from "../helpers/tree.ts";
import { skipHere } from "../helpers/skip.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const SUPERUSER = Deno.uid() === 0;
const MEDIA = "application/vnd.oci.image.layer.v1.tar+gzip";
const text = new TextDecoder();

async function inBox(use: (box: string) => Promise<void>): Promise<void> {
  const box = await Deno.makeTempDir({ prefix: "sauropod-layer-" });
  try {
    await use(box);
  } finally {
    removeTree(AT_FDCWD, box);
  }
}

/** Unpacks an archive as a layer to a new folder of the box. */
async function layerIn(box: string, archive: Bytes, options?: UnpackLayerOptions) {
  const folder = await Deno.makeTempDir({ dir: box });
  await Deno.chmod(folder, 0o755);
  await Deno.writeFile(`${box}/blob`, archive);
  return { folder, ...await unpackLayer(`${box}/blob`, MEDIA, folder, options) };
}

async function sha256(bytes: Bytes): Promise<string> {
  return `sha256:${new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex()}`;
}

function descriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

/** Waits until `holds`; two seconds at most. */
async function eventually(holds: () => boolean): Promise<boolean> {
  for (let i = 0; i < 200 && !holds(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  return holds();
}

function noise(size: number, seed: number): Bytes {
  const random = randomFrom(seed);
  return new Uint8Array(size).map(() => random() * 256);
}

/** A layer above the size from which threads are used. */
const large = tar(
  { name: "d/", type: "5", mode: 0o755 },
  ...Array.from({ length: 40 }, (_, i): Item => ({ name: `d/f${i}`, body: noise(60_000 + i, i) })),
  { name: "d/hard", type: "1", target: "d/f1" },
  { name: "d/.wh.gone" },
);

Deno.test("unpackLayer: a layer is unpacked from gzip, zstd and plain, here and in threads, and its digest is told", () =>
  inBox(async (box) => {
    const small = tar({ name: "a", body: "1" }, { name: "b/c", body: "2", mtime: 5 });
    // The process's first thread brings descriptors of its own.
    await layerIn(box, large);
    const open = descriptors();
    for (const [archive, entries] of [[small, 3], [large, 43]] as const) {
      const diffId = await sha256(archive), trees: Tree[] = [];
      for (const packed of [archive, await output("gzip", ["-c"], archive), await output("zstd", ["-cq"], archive)]) {
        const layer = await layerIn(box, packed, { diffId });
        assert.deepEqual([layer.entries, layer.bytes, layer.diffId], [entries, archive.length, diffId]);
        trees.push(treeOf(layer.folder));
      }
      for (const tree of trees) tree.delete("");
      // The time of a folder that the archive does not tell is that of the unpacking.
      for (const tree of trees) tree.delete("/b");
      trees.splice(0, 3, ...trees.map(comparable));
      assert.ok(trees[0] && trees[0].size >= 2);
      assert.deepEqual(trees[1], trees[0]);
      assert.deepEqual(trees[2], trees[0]);
    }
    assert.ok(await eventually(() => descriptors() <= open), `${descriptors()} descriptors, ${open} before`);
  }));

Deno.test("unpackLayer: a layer of another digest than its image says is refused, by name", () =>
  inBox(async (box) => {
    const wrong = `sha256:${"0".repeat(64)}`;
    for (const archive of [tar({ name: "a" }), large]) {
      const blob = `${box}/${"ab".repeat(32)}`;
      await Deno.writeFile(blob, archive);
      const folder = await Deno.makeTempDir({ dir: box });
      await assert.rejects(unpackLayer(blob, MEDIA, folder, { diffId: wrong }), (error) => {
        assert.ok(error instanceof ImageError);
        assert.equal(error.code, "digest-mismatch");
        assert.ok(error.message.startsWith(`layer sha256:${"ab".repeat(32)}: `), error.message);
        assert.equal(error.facts.expected, wrong);
        assert.equal(error.facts.layer, `sha256:${"ab".repeat(32)}`);
        return true;
      });
    }
  }));

Deno.test("unpackLayer: an error of a thread is the error itself: class, code, facts, hint and message", () =>
  inBox(async (box) => {
    const archive = concat(large.subarray(0, large.length - 1024), tar({ name: "../x" }));
    await assert.rejects(layerIn(box, archive), (error) => {
      assert.ok(error instanceof ImageError);
      assert.equal(error.code, "archive-unsafe");
      assert.match(error.message, /"\.\.\/x" climbs out/);
      assert.equal(error.facts.entry, "../x");
      assert.match(error.hint ?? "", /do not use it/);
      return true;
    });
    const packed = await output("gzip", ["-c"], large);
    packed[packed.length >> 1] = (packed[packed.length >> 1] ?? 0) ^ 0xff;
    await assert.rejects(layerIn(box, packed), { code: "archive-corrupt" });
    await assert.rejects(layerIn(box, large, { limits: { entries: 10 } }), { code: "archive-too-large" });
  }));

Deno.test("unpackLayer: an aborted unpacking ends soon and leaves no descriptor open", () =>
  inBox(async (box) => {
    const open = descriptors();
    const many = Array.from({ length: 5000 }, (_, i) => item({ name: `d${i % 100}/f${i}`, body: "x".repeat(5000) }));
    const archive = concat(
      ...many,
      tar(...[1, 2, 3].map((i): Item => ({ name: `noise${i}`, body: noise(800_000, i) }))),
    );
    for (const packed of [archive, await output("gzip", ["-1c"], archive)]) {
      const stop = new AbortController();
      const done = layerIn(box, packed, { signal: stop.signal });
      setTimeout(() => stop.abort(new Error("enough")), 60);
      await assert.rejects(done, { message: "enough" });
    }
    await assert.rejects(layerIn(box, archive, { signal: AbortSignal.abort(new Error("no")) }), { message: "no" });
    assert.ok(await eventually(() => descriptors() <= open), `${descriptors()} descriptors, ${open} before`);
  }));

Deno.test("unpackLayer: layers are unpacked several at once", () =>
  inBox(async (box) => {
    await Deno.writeFile(`${box}/blob`, await output("gzip", ["-c"], large));
    const layers = await Promise.all(Array.from({ length: 6 }, async (_, i) => {
      await Deno.mkdir(`${box}/${i}`);
      return await unpackLayer(`${box}/blob`, MEDIA, `${box}/${i}`);
    }));
    assert.equal(new Set(layers.map(({ diffId }) => diffId)).size, 1);
    assert.equal(Deno.statSync(`${box}/5/d/hard`).size, 60_001);
  }));

Deno.test("unpackLayer: a layer grows to a thousand times its blob's size at most", () =>
  inBox(async (box) => {
    const bomb = tar({ name: "zeros", body: new Uint8Array(80 << 20) });
    for (const [program, ...args] of [["gzip", "-9c"], ["zstd", "-cq"]] as const) {
      const packed = await output(program, args, bomb);
      await assert.rejects(layerIn(box, packed, { limits: { ratio: 100 } }), { code: "archive-too-large" });
    }
    await assert.rejects(layerIn(box, await output("zstd", ["-cq"], bomb)), { code: "archive-too-large" });
    await layerIn(box, await output("zstd", ["-cq"], bomb), { limits: { ratio: 1e6 } });
  }));

Deno.test("unpackLayer: a file's holes are where tar's four sparse formats say", () =>
  inBox(async (box) => {
    await Deno.mkdir(`${box}/source`);
    for (const [name, pieces, size] of [["few", 3, 5 << 20], ["many", 40, 40 << 20], ["hole", 0, 3 << 20]] as const) {
      using file = await Deno.create(`${box}/source/${name}`);
      await file.truncate(size);
      for (let i = 0; i < pieces; i++) {
        await file.seek(i * (1 << 20) + 8192 * (i % 3), Deno.SeekMode.Start);
        await file.write(bytesOf(`piece ${i} `.repeat(700)));
      }
    }
    using huge = await Deno.create(`${box}/source/huge`);
    await huge.truncate(5 * 2 ** 30);
    await huge.seek(5 * 2 ** 30 - 4, Deno.SeekMode.Start);
    await huge.write(bytesOf("end!"));
    const expected = await output("sh", ["-c", `cd ${box}/source && cksum few many hole && stat -c '%n %s' *`]);
    for (const format of ["gnu", "0.0", "0.1", "1.0"]) {
      const how = format === "gnu" ? ["--format=gnu"] : ["--format=posix", `--sparse-version=${format}`];
      const archive = await output("tar", ["-c", "--sparse", ...how, "-C", `${box}/source`, "."]);
      const { folder } = await layerIn(box, archive);
      const found = await output("sh", ["-c", `cd ${folder} && cksum few many hole && stat -c '%n %s' *`]);
      assert.equal(text.decode(found), text.decode(expected), format);
      assert.equal(text.decode(await output("tail", ["-c", "4", `${folder}/huge`])), "end!");
      assert.ok((Deno.statSync(`${folder}/huge`).blocks ?? Infinity) < 1000, format);
    }
  }));

Deno.test("names and targets that are not UTF-8 keep their bytes", () =>
  inBox(async (box) => {
    const raw = new Uint8Array([0x66, 0xff, 0xfe, 0xc3, 0xa9]), odd = "f\udcff\udcfe\udcc3\udca9";
    const archive = tar(
      { name: "?????", patch: (header) => header.set(raw) },
      { name: "é/", type: "5", mode: 0o755 },
      pax({ path: concat("é/", raw), linkpath: raw }),
      { name: "cut", type: "2" },
      { name: "hard", type: "1", target: "?", patch: (header) => header.set(raw, 157) },
    );
    const { folder } = await layerIn(box, archive);
    const names = text.decode(await output("sh", ["-c", `cd ${folder}; ls -b . é; readlink é/* | od -An -tx1`]));
    assert.match(names, /^\.:\nf\\377\\376.*\nhard\n/);
    assert.match(names, / 66 ff fe c3 a9 0a/);
    const tree = treeOf(folder);
    assert.deepEqual([...tree.keys()].sort(), ["", `/${odd}`, "/hard", "/é", `/é/${odd}`].sort());
    assert.match(tree.get(`/é/${odd}`) ?? "", /^120777/);
    await packLayer(folder, `${box}/packed`);
    await Deno.mkdir(`${box}/again`);
    await unpackLayer(`${box}/packed`, MEDIA, `${box}/again`);
    assert.deepEqual(treeOf(`${box}/again`), tree);
  }));

const CAPABILITY = new Uint8Array([1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

function setXattrOf(path: string, name: string, value: Bytes): void {
  const fd = openAt(AT_FDCWD, path, flags("O", "RDONLY"));
  try {
    setXattr(fd, name, value);
  } finally {
    close(fd);
  }
}

/** A folder as overlayfs leaves it, with one of everything. */
function makeUpper(upper: string): void {
  const at = (path: string): string => `${upper}/${path}`;
  for (const name of ["d", "opaque", "d/deep", "ro"]) Deno.mkdirSync(at(name), { recursive: true });
  const long = "n".repeat(120);
  Deno.writeTextFileSync(at("d/file"), "content");
  Deno.writeTextFileSync(at(`d/${long}`), "long");
  Deno.writeFileSync(at("d/large"), noise(700_001, 3));
  Deno.writeTextFileSync(at("d/empty"), "");
  Deno.writeTextFileSync(at("ro/setuid"), "x");
  Deno.linkSync(at("d/file"), at("d/deep/hard"));
  Deno.linkSync(at("d/file"), at("z-hard"));
  Deno.symlinkSync(`../${"t".repeat(150)}`, at("d/link"));
  symlinkAt("ü", AT_FDCWD, at("ü"));
  Deno.linkSync(at("ü"), at("ü2"));
  mknodAt(AT_FDCWD, at("fifo"), S_IF.IFO | 0o600);
  mknodAt(AT_FDCWD, at("d/null"), S_IF.CHR | 0o666, 1, 3);
  mknodAt(AT_FDCWD, at("d/disk"), S_IF.BLK | 0o640, 259, 70_000);
  mknodAt(AT_FDCWD, at("gone"), S_IF.CHR);
  Deno.linkSync(at("gone"), at("d/gone"));
  setXattrOf(at("opaque"), "trusted.overlay.opaque", bytesOf("y"));
  setXattrOf(at("d"), "trusted.overlay.impure", bytesOf("y"));
  setXattrOf(at("d"), "trusted.overlay.origin", bytesOf("\0\x01"));
  setXattrOf(at("d"), "user.note", new Uint8Array([0, 10, 61, 255]));
  Deno.chownSync(at("d/file"), 1000, 3_000_000);
  Deno.chownSync(at("d/empty"), 4_000_000_000, 7);
  setXattrOf(at("d/large"), "security.capability", CAPABILITY);
  setXattrOf(at("d/large"), "user.empty", new Uint8Array());
  Deno.chmodSync(at("ro/setuid"), 0o6755);
  Deno.chmodSync(at("ro"), 0o555);
  Deno.chmodSync(at("d/deep"), 0o1777);
  const times: [string, bigint][] = [["d/file", 1_234_567_890_123_456_789n], ["d/empty", -1_500_000_000n], [
    "fifo",
    0n,
  ]];
  for (const [path, time] of times) utimesAt(AT_FDCWD, at(path), time);
  for (const path of ["d/deep", "d", "ro", "opaque", ""]) utimesAt(AT_FDCWD, at(path), 1_600_000_000_000_000_001n);
}

/** Without what a layer cannot say of a whiteout, and what only this overlay knows. */
function comparable(tree: Tree): Tree {
  return new Map([...tree].map(([path, line]) => [path, line.replace(/^20000 .*/, "whiteout")]));
}

const isKept = (name: string): boolean => !/^trusted\.overlay\.(impure|origin)$|^security\.selinux$/.test(name);

Deno.test(
  "unpackLayer: what is packed and unpacked again is the same tree, and the same bytes each time",
  { ignore: skipHere("only root can", !SUPERUSER) },
  () =>
    inBox(async (box) => {
      const upper = `${box}/upper`;
      await Deno.mkdir(upper, { mode: 0o755 });
      makeUpper(upper);
      const open = descriptors();
      const packed = await packLayer(upper, `${box}/packed`);
      assert.deepEqual(await packLayer(upper, `${box}/packed2`), packed);
      const bytes = await Deno.readFile(`${box}/packed`);
      assert.equal(packed.size, bytes.length);
      assert.equal(packed.digest, await sha256(bytes));
      await Deno.mkdir(`${box}/again`);
      const { diffId, entries } = await unpackLayer(`${box}/packed`, MEDIA, `${box}/again`, { diffId: packed.diffId });
      assert.equal(diffId, packed.diffId);
      assert.equal(entries, packed.entries);
      const before = comparable(treeOf(upper, isKept)), after = comparable(treeOf(`${box}/again`));
      assert.deepEqual(after, before);
      assert.equal(after.get("/gone"), "whiteout");
      assert.match(after.get("/opaque") ?? "", /trusted\.overlay\.opaque=79/);
      assert.match(after.get("/d/large") ?? "", /security\.capability=0100/);
      assert.ok(await eventually(() => descriptors() <= open));
      // GNU tar reads it as well.
      const names = text.decode(await output("tar", ["-tzf", `${box}/packed`])).split("\n");
      for (const name of [".wh.gone", "opaque/.wh..wh..opq", "d/deep/hard", "d/.wh.gone"]) {
        assert.ok(names.includes(name));
      }
    }),
);

Deno.test(
  "unpackLayer: a socket is left out, and a reserved name or an incomplete file is refused",
  { ignore: skipHere("only root can", !SUPERUSER) },
  () =>
    inBox(async (box) => {
      mknodAt(AT_FDCWD, `${box}/socket`, S_IF.SOCK | 0o600);
      const upper = `${box}/upper`;
      await Deno.mkdir(upper);
      mknodAt(AT_FDCWD, `${upper}/socket`, S_IF.SOCK | 0o600);
      assert.equal((await packLayer(upper, `${box}/packed`)).entries, 1);
      await Deno.writeTextFile(`${upper}/.wh.x`, "");
      await assert.rejects(packLayer(upper, `${box}/packed`), { code: "image-unsupported" });
      await Deno.remove(`${upper}/.wh.x`);
      await Deno.mkdir(`${upper}/moved`);
      setXattrOf(`${upper}/moved`, "trusted.overlay.redirect", bytesOf("/old"));
      await assert.rejects(packLayer(upper, `${box}/packed`), { code: "image-unsupported" });
      await assert.rejects(packLayer(`${box}/none`, `${box}/packed`), { code: "pack-failed" });
      await assert.rejects(packLayer(upper, `${box}/packed`, { signal: AbortSignal.abort(new Error("no")) }));
    }),
);

async function has(program: string): Promise<boolean> {
  const { success } = await new Deno.Command("sh", { args: ["-c", `command -v ${program}`], stdout: "null" }).output();
  if (!success) console.log(`skipped: ${program} is not installed`);
  return success;
}

/** An overlay counts the links of a layer that are hidden by others. */
function withoutLinkCounts(tree: Tree): Tree {
  return new Map([...tree].map(([path, line]) => [path, line.replace(/ \d+ links/, "")]));
}

/** The folder that each of three layers is made of, as GNU tar packs it. */
function makeLayers(box: string): string[] {
  const [first, second, third] = ["1", "2", "3"].map((name) => `${box}/source${name}`);
  assert.ok(first && second && third);
  Deno.mkdirSync(first);
  makeUpper(first);
  Deno.removeSync(`${first}/gone`);
  Deno.removeSync(`${first}/d/gone`);
  for (const path of ["opaque/old", "a-file", "changed", "removed"]) Deno.writeTextFileSync(`${first}/${path}`, path);
  for (const path of ["a-folder", "removed-folder", "opaque-later"]) Deno.mkdirSync(`${first}/${path}`);
  Deno.writeTextFileSync(`${first}/a-folder/x`, "x");
  Deno.writeTextFileSync(`${first}/opaque-later/x`, "x");
  for (const path of ["d", "opaque", "opaque-later", "a-file"]) {
    Deno.mkdirSync(`${second}/${path}`, { recursive: true });
  }
  for (const path of [".wh.removed", ".wh.removed-folder", "d/.wh.file", "opaque/.wh..wh..opq", "a-folder"]) {
    Deno.writeTextFileSync(`${second}/${path}`, "");
  }
  for (const path of ["opaque/new", "changed", "a-file/y"]) Deno.writeTextFileSync(`${second}/${path}`, "second");
  Deno.linkSync(`${second}/changed`, `${second}/changed-hard`);
  Deno.chmodSync(`${second}/d`, 0o2710);
  for (const path of ["opaque-later", "d"]) Deno.mkdirSync(`${third}/${path}`, { recursive: true });
  for (const path of ["opaque-later/.wh..wh..opq", ".wh.changed"]) Deno.writeTextFileSync(`${third}/${path}`, "");
  Deno.writeTextFileSync(`${third}/removed`, "here again");
  Deno.chownSync(`${third}/d`, 12, 34);
  return [first, second, third];
}

Deno.test(
  "unpackLayer: three layers, mounted, are the tree that umoci unpacks",
  { ignore: skipHere("only root can", !SUPERUSER) },
  async () => {
    if (!await has("umoci")) return;
    await inBox(async (box) => {
      const layout = `${box}/layout`, image = `${layout}:test`, folders: string[] = [];
      await output("umoci", ["init", "--layout", layout]);
      await output("umoci", ["new", "--image", image]);
      for (const source of makeLayers(box)) {
        const archive = `${source}.tar`;
        const options = [
          "--format=posix",
          "--xattrs",
          "--xattrs-include=user.*",
          "--xattrs-include=security.capability",
        ];
        await output("tar", ["-c", ...options, "-C", source, "-f", archive, "."]);
        await output("umoci", ["raw", "add-layer", "--image", image, archive]);
        const packed = await output("gzip", ["-c"], await Deno.readFile(archive));
        folders.unshift((await layerIn(box, packed)).folder);
      }
      await output("umoci", ["unpack", "--image", image, `${box}/bundle`]);
      const target = `${box}/mounted`;
      await Deno.mkdir(target);
      await output("mount", ["-t", "overlay", "overlay", "-o", `ro,lowerdir=${folders.join(":")}`, target]);
      try {
        // umoci drops attributes that are empty.
        const compared = (name: string): boolean => ["user.note", "security.capability"].includes(name);
        const [ours, theirs] = [target, `${box}/bundle/rootfs`].map((path) =>
          withoutLinkCounts(treeOf(path, compared))
        );
        assert.ok(ours && theirs);
        assert.ok(ours.size > 20);
        assert.deepEqual(ours, theirs);
        const [hard, other] = ["d/deep/hard", "z-hard"].map((path) => statusAt(AT_FDCWD, `${target}/${path}`).ino);
        assert.equal(hard, other);
      } finally {
        await output("umount", [target]);
      }
    });
  },
);
