/** Archives that are unpacked, hostile ones among them. */

import assert from "node:assert/strict";
import { AT_FDCWD, close, S_IF, statusAt } from "../ffi/fs.ts";
import { ImageError } from "../lib/errors.ts";
import { unpackOnce } from "../lib/image/archive.ts";
import { openDirectory } from "../lib/image/tree.ts";
import { unpack, type UnpackOptions } from "../lib/image/unpack.ts";
import { concat, type Item, item, output, pax, randomFrom, tar } from "./helpers/tar.ts";
import { inBox } from "./helpers/unpacking.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const ALPINE = "/work/shared/images/alpine-minirootfs-3.20.3-x86_64.tar.gz";
const SUPERUSER = Deno.uid() === 0;

async function unpackTo(folder: string, archive: Bytes, options?: UnpackOptions, step = 4096) {
  const root = openDirectory(AT_FDCWD, folder);
  const chunks = [];
  for (let at = 0; at < archive.length; at += step) chunks.push(archive.slice(at, at + step));
  try {
    return await unpack(chunks, root, options);
  } finally {
    close(root);
  }
}

/** All that a folder holds, one line each: type, mode, owner, size, time, name, target. */
async function listing(folder: string): Promise<string[]> {
  const format = "%y %m %U %G %T@ %n %p -> %l";
  const files = await output("find", [folder, "!", "-type", "d", "-printf", `%s ${format}\n`]);
  const folders = await output("find", [folder, "-type", "d", "-printf", `${format}\n`]);
  const lines = new TextDecoder().decode(files) + new TextDecoder().decode(folders);
  return lines.replaceAll(folder, "").split("\n").sort();
}

function descriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

function type(path: string): number {
  return statusAt(AT_FDCWD, path).mode & S_IF.MT;
}

function modeOf(path: string): number {
  return statusAt(AT_FDCWD, path).mode & 0o7777;
}

async function xattr(path: string, name: string): Promise<string> {
  const code = "import os,sys\nprint(os.getxattr(sys.argv[1], sys.argv[2]).hex())";
  return new TextDecoder().decode(await output("python3", ["-c", code, path, name])).trim();
}

const link = (name: string, target: string): Item => ({ name, type: "2", target });
const hard = (name: string, target: string): Item => ({ name, type: "1", target });
const folder = (name: string): Item => ({ name, type: "5", mode: 0o755 });
const file = (name: string, body = "evil"): Item => ({ name, body });

const deep = "d/".repeat(129) + "f";
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
    tar(pax({ path: ("n".repeat(200) + "/").repeat(30) + "x" }), file("x")),
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

Deno.test("an error names the entry and the link in its way", () =>
  inBox(async (box) => {
    await assert.rejects(unpackTo(`${box}/root`, tar(link("a", "/etc"), file("a/b"))), {
      message: 'the archive is unsafe: "a/b" goes through "a", which is a symbolic link',
    });
  }));

Deno.test("names are taken below the folder whatever they begin with", () =>
  inBox(async (box) => {
    await unpackTo(`${box}/root`, tar(file("/abs", "1"), file("./dot", "2"), file("//d/./e", "3")));
    assert.equal(await Deno.readTextFile(`${box}/root/abs`), "1");
    assert.equal(await Deno.readTextFile(`${box}/root/dot`), "2");
    assert.equal(await Deno.readTextFile(`${box}/root/d/e`), "3");
  }));

Deno.test("odd but harmless names are kept as they are", () =>
  inBox(async (box) => {
    const names = ["a\nb", "...", "-rf", "ü", " ", "a\\b", ".wh.x"];
    await unpackTo(`${box}/root`, tar(...names.map((name) => file(name))));
    assert.deepEqual([...Deno.readDirSync(`${box}/root`)].map((entry) => entry.name).sort(), names.sort());
  }));

Deno.test("the last of several entries of a name wins, whatever they are", () =>
  inBox(async (box) => {
    const root = `${box}/root`;
    await Deno.symlink("../outside/secret", `${root}/was-link`);
    const archive = tar(
      file("was-link", "new"),
      file("twice", "first"),
      file("twice", "second"),
      file("tree/a/b/c"),
      file("tree", "now a file"),
      link("to-folder", "../outside"),
      folder("to-folder"),
      file("to-folder/x", "inside"),
      file("linked", "kept"),
      hard("other", "linked"),
      file("linked", "replaced"),
      folder("gone/d"),
      link("gone", "../outside"),
      { ...folder("same"), mode: 0o700 },
      file("same/x"),
      { ...folder("same"), mode: 0o711 },
    );
    await unpackTo(root, archive);
    assert.equal(await Deno.readTextFile(`${root}/was-link`), "new");
    assert.equal(await Deno.readTextFile(`${root}/twice`), "second");
    assert.equal(await Deno.readTextFile(`${root}/tree`), "now a file");
    assert.equal(await Deno.readTextFile(`${root}/to-folder/x`), "inside");
    assert.equal(await Deno.readTextFile(`${root}/other`), "kept");
    assert.equal(await Deno.readTextFile(`${root}/linked`), "replaced");
    assert.equal(Deno.readLinkSync(`${root}/gone`), "../outside");
    assert.equal(modeOf(`${root}/same`), 0o711);
    assert.equal(modeOf(`${box}/outside`), 0o755);
    assert.equal(await Deno.readTextFile(`${box}/outside/secret`), "secret");
  }));

Deno.test("a hard link after its folder was replaced finds the new one", () =>
  inBox(async (box) => {
    const archive = tar(
      file("d/f", "1"),
      hard("a", "d/f"),
      file("d", "x"),
      folder("d"),
      file("d/f", "2"),
      hard("b", "d/f"),
    );
    await unpackTo(`${box}/root`, archive);
    assert.equal(await Deno.readTextFile(`${box}/root/b`), "2");
  }));

Deno.test("modes, times and owners are those of the archive, whatever the umask", () =>
  inBox(async (box) => {
    const root = `${box}/root`, umask = Deno.umask(0o077);
    // Above 2^31: more than a header holds, and negative for the kernel's 32 bits.
    const owner = SUPERUSER ? pax({ uid: "3000000000", gid: "12" }) : new Uint8Array();
    try {
      await unpackTo(
        root,
        tar(
          { ...folder("./"), mode: 0o751, mtime: 5 },
          owner,
          { ...folder("ro"), mode: 0o555, mtime: 100 },
          owner,
          { ...file("ro/suid"), mode: 0o6755, mtime: 200 },
          owner,
          { ...link("ro/link", "x"), mtime: 300 },
          owner,
          { name: "ro/fifo", type: "6", mode: 0o622, mtime: 400 },
          { ...folder("sticky"), mode: 0o1777 },
          pax({ mtime: "1.000000001" }),
          file("implicit/nano"),
        ),
      );
    } finally {
      Deno.umask(umask);
    }
    assert.equal(modeOf(root), 0o751);
    assert.equal(modeOf(`${root}/ro`), 0o555);
    assert.equal(modeOf(`${root}/ro/suid`), 0o6755);
    assert.equal(modeOf(`${root}/ro/fifo`), 0o622);
    assert.equal(type(`${root}/ro/fifo`), S_IF.IFO);
    assert.equal(modeOf(`${root}/sticky`), 0o1777);
    assert.equal(modeOf(`${root}/implicit`), 0o755);
    const times = ["", "/ro", "/ro/suid", "/ro/link", "/ro/fifo", "/implicit/nano"];
    const seconds = times.map((path) => statusAt(AT_FDCWD, root + path).mtime);
    assert.deepEqual(seconds, [5n, 100n, 200n, 300n, 400n].map((s) => s * 1_000_000_000n).concat(1_000_000_001n));
    if (!SUPERUSER) return;
    for (const path of ["/ro", "/ro/suid", "/ro/link", "/ro/fifo"]) {
      const { uid, gid } = statusAt(AT_FDCWD, root + path);
      assert.deepEqual([uid, gid], [3_000_000_000, 12]);
    }
  }));

Deno.test("extended attributes of users and capabilities are kept, those for overlayfs are not", {
  ignore: !SUPERUSER,
}, () =>
  inBox(async (box) => {
    const capability = new Uint8Array([1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    const archive = tar(
      pax({
        "SCHILY.xattr.user.note": new Uint8Array([0, 1, 61]),
        "SCHILY.xattr.security.capability": capability,
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.security.selinux": "evil_t",
      }),
      { ...file("ping"), uid: 5 },
      pax({ "SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.user.d": "1" }),
      folder("d"),
    );
    await unpackTo(`${box}/root`, archive);
    const code = "import os,sys\nprint(*sorted(os.listxattr(sys.argv[1])))";
    const names = async (path: string) => new TextDecoder().decode(await output("python3", ["-c", code, path])).trim();
    assert.equal(await names(`${box}/root/ping`), "security.capability user.note");
    assert.equal(await names(`${box}/root/d`), "user.d");
    assert.equal(await xattr(`${box}/root/ping`, "user.note"), "00013d");
    assert.equal(await xattr(`${box}/root/ping`, "security.capability"), capability.toHex());
  }));

Deno.test("device nodes are left out unless asked for", { ignore: !SUPERUSER }, () =>
  inBox(async (box) => {
    const archive = tar({ name: "null", type: "3", major: 1, minor: 3 }, {
      name: "b",
      type: "4",
      major: 259,
      minor: 1000,
    });
    await unpackTo(`${box}/root`, archive);
    assert.deepEqual([...Deno.readDirSync(`${box}/root`)], []);
    await unpackTo(`${box}/root`, archive, { devices: "create" });
    assert.equal(statusAt(AT_FDCWD, `${box}/root/null`).rdev, "1:3");
    assert.equal(statusAt(AT_FDCWD, `${box}/root/b`).rdev, "259:1000");
    assert.equal(type(`${box}/root/b`), S_IF.BLK);
  }));

Deno.test("whiteouts of a layer become those of overlayfs", { ignore: !SUPERUSER }, () =>
  inBox(async (box) => {
    const root = `${box}/root`;
    const archive = tar(
      file("etc/.wh.gone"),
      file("opaque/.wh..wh..opq"),
      file("opaque/x"),
      // In the same layer: what is hidden is only what lies below.
      file("kept/x"),
      file(".wh.kept"),
      file(".wh.again"),
      folder("again"),
      file(".wh.implied"),
      file("implied/x"),
      file("stays", "1"),
      file(".wh.stays"),
      file(".wh.file"),
      file("file", "2"),
      hard(".wh.linked", ".wh.x"),
    );
    await unpackTo(root, archive, { layer: true });
    const whiteout = (path: string) => type(root + path) === S_IF.CHR && statusAt(AT_FDCWD, root + path).rdev === "0:0";
    assert.ok(whiteout("/etc/gone"));
    assert.ok(whiteout("/linked"));
    for (const path of ["/opaque", "/kept", "/again", "/implied"]) {
      assert.equal(await xattr(root + path, "trusted.overlay.opaque"), "79", path);
    }
    assert.equal(await Deno.readTextFile(`${root}/stays`), "1");
    assert.equal(await Deno.readTextFile(`${root}/file`), "2");
    assert.equal([...Deno.readDirSync(root)].some((entry) => entry.name.startsWith(".wh.")), false);
  }));

Deno.test("a mutated archive writes nothing outside and ends in success or an ImageError", async () => {
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

Deno.test("a tree is unpacked as tar unpacks it", () =>
  inBox(async (box) => {
    await Deno.mkdir(`${box}/source/a/b`, { recursive: true });
    await Deno.writeTextFile(`${box}/source/a/file`, "x".repeat(300_000));
    await Deno.link(`${box}/source/a/file`, `${box}/source/a/b/hard`);
    await Deno.symlink("../file", `${box}/source/a/b/soft`);
    await Deno.writeTextFile(`${box}/source/${"n".repeat(200)}`, "long");
    await Deno.chmod(`${box}/source/a`, 0o2551);
    for (const format of ["gnu", "pax"]) {
      const archive = await output("tar", ["-c", "--format", format, "-C", `${box}/source`, "."]);
      const expected = `${box}/expected-${format}`, root = `${box}/root/${format}`;
      await Deno.mkdir(expected);
      await Deno.mkdir(root);
      await output("tar", ["-xp", "-C", expected], archive);
      // The second time, all of it replaces what is there; others than root cannot, in a read-only folder.
      for (const step of SUPERUSER ? [10_000, 333] : [333]) await unpackTo(root, archive, undefined, step);
      assert.deepEqual(await listing(root), await listing(expected));
      assert.equal(await Deno.readTextFile(`${root}/a/b/hard`), "x".repeat(300_000));
    }
  }));

Deno.test("Alpine is unpacked as tar unpacks it, from gzip and from zstd", () =>
  inBox(async (box) => {
    try {
      await Deno.stat(ALPINE);
    } catch {
      console.log(`skipped: ${ALPINE} is not there`);
      return;
    }
    await Deno.mkdir(`${box}/expected`, { mode: 0o755 });
    await output("tar", ["-xzpf", ALPINE, "-C", `${box}/expected`]);
    const plain = await output("gzip", ["-dc", ALPINE]);
    await Deno.writeFile(`${box}/alpine.tar.zst`, await output("zstd", ["-cq"], plain));
    const expected = await listing(`${box}/expected`);
    for (const archive of [ALPINE, `${box}/alpine.tar.zst`]) {
      const rootfs = await unpackOnce(archive, `${box}/store`);
      assert.deepEqual(await listing(rootfs), expected);
      await output("diff", ["-r", "--no-dereference", `${box}/expected`, rootfs]);
    }
  }));
