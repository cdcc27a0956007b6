/** Layers made to do harm: each is refused by name, or lands inside its folder. */

import assert from "node:assert/strict";
import { AT_FDCWD, S_IF, statusAt } from "../../ffi/fs/fs.ts";
import { ImageError } from "../../lib/errors.ts";
import { unpackLayer, type UnpackLayerOptions } from "../../lib/store/unpack_layer.ts";
import { removeTree } from "../../lib/tar/tree.ts";
import { output } from "../helpers/host_program.ts";
import { randomFrom } from "../helpers/random.ts";
import { bytesOf, concat, type Item, item, pax, records, tar } from "../helpers/tar.ts";
import { treeOf } from "../helpers/tree.ts";
import { skipHere } from "../helpers/skip.ts";

type Bytes = Uint8Array<ArrayBuffer>;

const SUPERUSER = Deno.uid() === 0;

/** In memory where that can be: there are thousands of folders. */
const memory = await Deno.stat("/dev/shm").then(() => "/dev/shm", () => undefined);

/** A folder with `layer`, to unpack to, and `victim`, which must stay as it is. */
async function inBox(use: (box: string) => Promise<void>): Promise<void> {
  const box = await Deno.makeTempDir({ dir: memory, prefix: "sauropod-hostile-" });
  try {
    await Deno.mkdir(`${box}/victim/folder`, { recursive: true });
    await Deno.writeTextFile(`${box}/victim/secret`, "secret", { mode: 0o600 });
    await Deno.link(`${box}/victim/secret`, `${box}/victim/folder/hard`);
    await Deno.symlink("secret", `${box}/victim/link`);
    await use(box);
  } finally {
    removeTree(AT_FDCWD, box);
  }
}

let folders = 0;

/** Unpacks a layer to a new folder of the box, and sees that nothing else changed. */
async function attempt(box: string, blob: Bytes, options?: UnpackLayerOptions): Promise<string> {
  const before = treeOf(`${box}/victim`), layer = `${box}/layer${folders++}`;
  await Deno.mkdir(layer, { mode: 0o755 });
  await Deno.writeFile(`${box}/blob`, blob);
  const names = [...Deno.readDirSync(box)].map(({ name }) => name).sort();
  try {
    await unpackLayer(`${box}/blob`, "", layer, options);
  } finally {
    assert.deepEqual(treeOf(`${box}/victim`), before);
    assert.deepEqual([...Deno.readDirSync(box)].map(({ name }) => name).sort(), names);
  }
  return layer;
}

const file = (name: string, body = "evil"): Item => ({ name, body });
const folder = (name: string): Item => ({ name, type: "5", mode: 0o755 });
const soft = (name: string, target: string): Item => ({ name, type: "2", target });
const hard = (name: string, target: string): Item => ({ name, type: "1", target });
const sized = (bytes: number[]): Item => ({
  name: "n",
  patch: (header) => (header.fill(0, 124, 136), header.set(bytes, 124)),
});
const raw = (body: string) => item({ name: "x", type: "x", body });
const long = (body: string, type = "L") => item({ name: "././@LongLink", type, body, magic: "gnu" });

const UNSAFE = "archive-unsafe", MALFORMED = "archive-malformed", LARGE = "archive-too-large", FAILED = "unpack-failed";

const REFUSED: [string, Bytes, string, UnpackLayerOptions?][] = [
  ["a name that climbs out", tar(file("../victim/secret")), UNSAFE],
  ["a name that climbs out of a folder made before", tar(folder("a"), file("a/../../victim/x")), UNSAFE],
  ["a name that ends with ..", tar(folder("a/..")), UNSAFE],
  ["a pax name that climbs out", tar(pax({ path: "../victim/x" }), file("harmless")), UNSAFE],
  ["a GNU long name that climbs out", tar(long("../victim/x\0"), file("harmless")), UNSAFE],
  ["a prefix that climbs out", tar({ name: "victim/x", prefix: ".." }), UNSAFE],
  [
    "a name of a sparse file that climbs out",
    tar(pax({ "GNU.sparse.map": "", "GNU.sparse.name": "../x" }), file("n", "")),
    UNSAFE,
  ],
  ["a file through a symbolic link", tar(soft("l", "../victim"), file("l/x")), UNSAFE],
  ["a file through an absolute link", tar(soft("l", "/"), file("l/tmp/x")), UNSAFE],
  ["a file through a chain of links", tar(soft("a", "b"), soft("b", ".."), file("a/victim/x")), UNSAFE],
  ["a file through a link in the middle", tar(folder("d"), soft("d/l", "../../victim"), file("d/l/folder/x")), UNSAFE],
  ["a folder through a link", tar(soft("l", "../victim"), folder("l/new")), UNSAFE],
  ["a link through a link", tar(soft("l", "../victim"), soft("l/x", "y")), UNSAFE],
  ["a device through a link", tar(soft("l", "../victim"), { name: "l/x", type: "3", major: 1, minor: 3 }), UNSAFE],
  ["a FIFO through a link", tar(soft("l", "../victim"), { name: "l/x", type: "6" }), UNSAFE],
  ["a hard link through a link", tar(file("f"), soft("l", "../victim"), hard("l/x", "f")), UNSAFE],
  ["a whiteout through a link", tar(soft("l", "../victim"), file("l/.wh.secret")), UNSAFE],
  ["an opaque mark through a link", tar(soft("l", "../victim"), file("l/.wh..wh..opq")), UNSAFE],
  ["a folder that became a link", tar(folder("d"), file("d/a"), soft("d", "../victim"), file("d/secret")), UNSAFE],
  ["a link with a slash at its end, then a file in it", tar(soft("l", "../victim/"), file("l//x")), UNSAFE],
  ["a file through a device", tar({ name: "f", type: "3", major: 1, minor: 3 }, file("f/x")), UNSAFE],
  ["a file through a file", tar(file("f"), file("f/x")), UNSAFE],
  ["a hard link to what is outside", tar(hard("x", "../victim/secret")), UNSAFE],
  [
    "a hard link to what is outside, by a pax target",
    tar(pax({ linkpath: "../victim/secret" }), hard("x", "f")),
    UNSAFE,
  ],
  ["a hard link to what is outside, by a long target", tar(long("../victim/secret\0", "K"), hard("x", "f")), UNSAFE],
  ["a hard link to an absolute path", tar(hard("x", "/etc/passwd")), FAILED],
  ["a hard link through a symbolic link", tar(soft("l", "../victim"), hard("x", "l/secret")), UNSAFE],
  ["a hard link to a later file", tar(hard("x", "later"), file("later")), FAILED],
  ["a hard link to itself", tar(hard("x", "x")), FAILED],
  ["a hard link that replaces what it links to", tar(file("x"), hard("x", "x")), FAILED],
  ["a hard link to a folder", tar(folder("d"), hard("x", "d")), UNSAFE],
  ["a hard link to the layer itself", tar(hard("x", ".")), UNSAFE],
  ["a file in the place of the layer", tar(file("/")), MALFORMED],
  ["a link in the place of the layer", tar(soft("./", "../victim")), UNSAFE],
  ["a whiteout of .", tar(file(".wh..")), UNSAFE],
  ["a whiteout of ..", tar(file("d/.wh...")), UNSAFE],
  ["a whiteout of nothing", tar(file(".wh.")), UNSAFE],
  ["a whiteout with a slash", tar(file(".wh.a/b")), UNSAFE],
  ["a whiteout of a whiteout", tar(file(".wh..wh.a")), UNSAFE],
  ["a whiteout that is a folder", tar(folder(".wh.a")), UNSAFE],
  ["a whiteout that is a symbolic link", tar(soft(".wh.a", "b")), UNSAFE],
  ["a whiteout that is a device", tar({ name: ".wh.a", type: "3" }), UNSAFE],
  ["a name below a whiteout", tar(file(".wh.d/x")), UNSAFE],
  ["a name below an opaque mark", tar(file(".wh..wh..opq/x")), UNSAFE],
  ["a pax name with a NUL", tar(pax({ path: "a\0b" }), file("n")), MALFORMED],
  ["a pax target with a NUL", tar(pax({ linkpath: "a\0b" }), soft("n", "t")), MALFORMED],
  ["an attribute's name with a NUL", tar(pax({ "SCHILY.xattr.user.a\0": "1" }), file("n")), MALFORMED],
  ["a component that is too long", tar(pax({ path: "n".repeat(256) }), file("n")), FAILED],
  ["a path that is too long", tar(pax({ path: `${"n".repeat(250)}/`.repeat(270) }), folder("n")), LARGE],
  ["a path that is too deep", tar(pax({ path: "d/".repeat(10_100) }), folder("n")), LARGE],
  ["an empty name", tar({ name: "" }), MALFORMED],
  ["a target that is empty", tar(soft("l", "")), FAILED],
  ["a target that is too long", tar(pax({ linkpath: "t".repeat(5000) }), soft("l", "t")), FAILED],
  ["a pax record that is shorter than it says", tar(raw("99 path=x\n"), file("n")), MALFORMED],
  ["a pax record that is longer than it says", tar(raw("6 path=x\n"), file("n")), MALFORMED],
  ["a pax record of length 0", tar(raw("0 path=x\n"), file("n")), MALFORMED],
  ["a pax record without an equals sign", tar(raw("8 pathx\n"), file("n")), MALFORMED],
  ["a pax size that is a lie", tar(pax({ size: "9999999" }), file("n")), "archive-truncated"],
  ["a pax size that hides the next header", tar(pax({ size: "600" }), file("n", "x"), file("hidden")), MALFORMED],
  ["a pax size that is negative", tar(pax({ size: "-1" }), file("n")), MALFORMED],
  ["a pax size above 2^53", tar(pax({ size: "9".repeat(17) }), file("n")), MALFORMED],
  ["a global header that names all", tar(pax({ path: "x" }, "g"), file("n")), MALFORMED],
  ["a global header that sizes all", tar(pax({ size: "1" }, "g"), file("n")), MALFORMED],
  ["an extended header of a gigabyte", tar(item({ name: "x", type: "x", size: 2 ** 30 })), MALFORMED],
  ["a negative size", tar(sized(new Array(12).fill(0xff))), MALFORMED],
  ["a size above 2^64", tar(sized([0x80, ...new Array(11).fill(0xff)])), MALFORMED],
  ["a size of 5 GiB with nothing in it", tar(sized([0x80, 0, 0, 0, 0, 0, 0, 1, 0x40, 0, 0, 0])), LARGE],
  ["a size that is no number", tar(sized([...bytesOf("12x4")])), MALFORMED],
  ["a symbolic link with a body", tar({ ...soft("l", "t"), body: "x" }), MALFORMED],
  [
    "a sparse file of 200 TB",
    tar(pax({ "GNU.sparse.map": "0,0", "GNU.sparse.size": "2".padEnd(15, "0") }), file("n", "")),
    LARGE,
  ],
  [
    "a sparse file whose pieces overlap",
    tar(pax({ "GNU.sparse.map": "0,2,1,2", "GNU.sparse.size": "9" }), file("n")),
    MALFORMED,
  ],
  [
    "a sparse file that ends before its data",
    tar(pax({ "GNU.sparse.map": "0,4", "GNU.sparse.size": "1" }), file("n")),
    MALFORMED,
  ],
  ["a wrong checksum", tar({ name: "n", checksumError: 1 }), MALFORMED],
  ["an owner out of range", tar(pax({ uid: "4294967295" }), file("n")), MALFORMED],
  ["a device number out of range", tar({ name: "n", type: "3", major: 5000, minor: 1 }), MALFORMED],
  ["a type that nobody knows", tar({ name: "n", type: "Z" }), "archive-unsupported"],
  ["a header after the end mark's first block", tar({ name: "a" }, new Uint8Array(512), file("b")), MALFORMED],
  ["too many entries", tar(file("a"), file("b"), file("c")), LARGE, { limits: { entries: 2 } }],
  ["too many folders without entries", tar(file("a/b/c/d/e")), LARGE, { limits: { entries: 3 } }],
  ["zeros without end after the end mark", concat(tar(file("a")), new Uint8Array(99_999)), LARGE, {
    limits: { bytes: 9999 },
  }],
  ["what is no archive", bytesOf("this is no layer ".repeat(99)), MALFORMED],
  ["nothing", new Uint8Array(), "archive-truncated"],
];

function refusal(code: string, what: string) {
  return (error: unknown): true => {
    assert.ok(error instanceof ImageError, `${what}: ${error}`);
    assert.equal(error.code, code, `${what}: ${error.message}`);
    assert.ok(error.message.startsWith("layer "), error.message);
    return true;
  };
}

for (const [what, layer, code, options] of REFUSED) {
  Deno.test(`unpackLayer: a layer is refused for ${what}`, {
    ignore: skipHere("only root can", what.includes("device") && !SUPERUSER),
  }, () => inBox((box) => assert.rejects(attempt(box, layer, options), refusal(code, what))));
}

const read = (path: string): string => Deno.readTextFileSync(path);
const typeOf = (path: string): number => statusAt(AT_FDCWD, path).mode & S_IF.MT;

const HARMLESS: [string, Bytes, (layer: string) => void][] = [
  ["an absolute name", tar(file("/victim/secret", "in")), (at) => assert.equal(read(`${at}/victim/secret`), "in")],
  ["a name with many slashes", tar(file("//.//a///b", "in")), (at) => assert.equal(read(`${at}/a/b`), "in")],
  [
    "names of control characters",
    tar(file("a\nb"), file("\x1b[2J"), file("-rf *")),
    (at) => assert.deepEqual([...treeOf(at).keys()].slice(1).sort(), ["/\x1b[2J", "/-rf *", "/a\nb"].sort()),
  ],
  ["links that point outside", tar(soft("l", "../victim/secret"), soft("m", "/etc")), (at) => {
    assert.deepEqual([Deno.readLinkSync(`${at}/l`), Deno.readLinkSync(`${at}/m`)], ["../victim/secret", "/etc"]);
  }],
  ["a file that replaces a link", tar(soft("l", "../victim/secret"), file("l", "in")), (at) => {
    assert.equal(read(`${at}/l`), "in");
  }],
  [
    "a folder that replaces a link, and a file in it",
    tar(soft("l", "../victim"), folder("l"), file("l/secret", "in")),
    (at) => {
      assert.equal(read(`${at}/l/secret`), "in");
    },
  ],
  [
    "a folder's attributes for what became a link",
    tar({ ...folder("d"), mode: 0o777, uid: 5 }, soft("d", "../victim")),
    (at) => {
      assert.equal(typeOf(`${at}/d`), S_IF.LNK);
    },
  ],
  ["a hard link to a symbolic link", tar(soft("l", "../victim/secret"), hard("x", "l"), file("x", "in")), (at) => {
    assert.equal(read(`${at}/x`), "in");
    assert.equal(typeOf(`${at}/l`), S_IF.LNK);
  }],
  [
    "a file that changes its type five times",
    tar(file("x"), folder("x"), file("x/y"), soft("x", "."), { name: "x", type: "6" }, file("x", "in")),
    (at) => {
      assert.equal(read(`${at}/x`), "in");
    },
  ],
  [
    "an entry twice with another content",
    tar(file("x", "long content"), file("x", "in")),
    (at) => assert.equal(read(`${at}/x`), "in"),
  ],
  ["setuid bits on what is not root's", tar({ ...file("x"), mode: 0o6755, uid: 1000, gid: 1000 }), (at) => {
    if (SUPERUSER) assert.equal(statusAt(AT_FDCWD, `${at}/x`).mode & 0o7777, 0o6755);
  }],
  ["whiteouts as hard links", tar(file(".wh..wh..opq"), hard(".wh.x", ".wh..wh..opq")), (at) => {
    assert.equal(typeOf(`${at}/x`), S_IF.CHR);
  }],
  [
    "overlayfs' own attributes",
    tar(
      pax({
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.trusted.overlay.redirect": "/victim",
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.security.selinux": "evil",
        "SCHILY.xattr.system.posix_acl_access": "evil",
      }),
      folder("d"),
    ),
    (at) => assert.doesNotMatch(treeOf(at, () => true).get("/d") ?? "", /=/),
  ],
  ["a name with an old NUL in it", tar({ name: "a\0/../../victim/x" }), (at) => assert.ok(treeOf(at).has("/a"))],
  ["something after the end mark", concat(tar(file("a", "in")), bytesOf("garbage ".repeat(999))), (at) => {
    assert.equal(read(`${at}/a`), "in");
  }],
  ["a pax name beside a long name", tar(long("../victim/x\0"), pax({ path: "in" }), file("n")), (at) => {
    assert.equal(read(`${at}/in`), "evil");
  }],
  ["a repeated pax key", tar(raw("15 path=../evil\n".replace("15", "16") + "11 path=in\n"), file("n")), (at) => {
    assert.equal(read(`${at}/in`), "evil");
  }],
  [
    "sparse files inside",
    tar(item({ name: "x", type: "x", body: records({ "GNU.sparse.map": "2,4", "GNU.sparse.size": "8" }) }), file("n")),
    (at) => {
      assert.equal(read(`${at}/n`), "\0\0evil\0\0");
    },
  ],
];

for (const [what, layer, check] of HARMLESS) {
  Deno.test(
    `unpackLayer: a layer lands inside with ${what}`,
    { ignore: skipHere("only root can", !SUPERUSER) },
    () => inBox(async (box) => check(await attempt(box, layer))),
  );
}

Deno.test("unpackLayer: a layer that is cut at any block, or anywhere when compressed, is refused", () =>
  inBox(async (box) => {
    const layer = tar(
      folder("d"),
      file("d/a", "x".repeat(1500)),
      pax({ path: "long" }),
      file("n"),
      long("l\0"),
      file("m"),
    );
    for (let length = 0; length <= layer.length - 1024; length += 512) {
      await assert.rejects(attempt(box, layer.slice(0, length)), refusal("archive-truncated", `${length} bytes`));
    }
    for (const packed of [await output("gzip", ["-c"], layer), await output("zstd", ["-cq"], layer)]) {
      for (let length = 7; length < packed.length; length += 11) {
        await assert.rejects(attempt(box, packed.slice(0, length)), refusal("archive-corrupt", `${length} bytes`));
      }
      await assert.rejects(attempt(box, concat(packed, "garbage")), refusal("archive-corrupt", "garbage at the end"));
    }
  }));

Deno.test("unpackLayer: members and frames of one layer may be many, what is between them is refused", () =>
  inBox(async (box) => {
    const layer = tar(file("a", "in"), file("b")), half = layer.length >> 1;
    for (const [program, option] of [["gzip", "-c"], ["zstd", "-cq"]] as const) {
      const [first, second] = await Promise.all(
        [layer.slice(0, half), layer.slice(half)].map((part) => output(program, [option], part)),
      );
      assert.ok(first && second);
      const at = await attempt(box, concat(first, second));
      assert.equal(read(`${at}/a`), "in");
      await assert.rejects(attempt(box, concat(first, "garbage", second)), refusal("archive-corrupt", program));
    }
  }));

Deno.test("unpackLayer: bombs of gzip and zstd are refused long before they fill a disk", () =>
  inBox(async (box) => {
    const script = (program: string) => `head -c 300M /dev/zero | ${program}`;
    const header = item({ name: "zeros", size: 0o77777777777 });
    for (const program of ["gzip -c", "zstd -cq"]) {
      const zeros = await output("sh", ["-c", script(program)]),
        start = await output(program.split(" ")[0] ?? "", ["-c"], header);
      const options = { limits: { ratio: 200 } };
      await assert.rejects(attempt(box, concat(start, zeros), options), refusal(LARGE, program));
    }
  }));

Deno.test("unpackLayer: thousands of mutated layers write nothing outside and end in success or an ImageError", {
  ignore: skipHere("only root can", !SUPERUSER),
}, () =>
  inBox(async (box) => {
    const random = randomFrom(20261123), pick = (limit: number): number => Math.floor(random() * limit);
    const seed = tar(
      { ...folder("dir/"), uid: 3 },
      file("dir/a", "x".repeat(700)),
      pax({ path: "dir/b", mtime: "1.5", "SCHILY.xattr.user.x": "1", "GNU.sparse.map": "3,4", "GNU.sparse.size": "9" }),
      file("n"),
      soft("dir/l", "../../victim"),
      long("dir/long\0"),
      hard("c", "dir/a"),
      file("dir/.wh.gone", ""),
      file("l/.wh..wh..opq", ""),
      { name: "null", type: "3", major: 1, minor: 3 },
    );
    const names = ["dir/l/secret", "../victim/secret", "dir", "dir/l", ".wh.dir", "/victim", "dir/../x", "dir/.wh.."];
    const before = treeOf(`${box}/victim`), layer = `${box}/layer`;
    let done = 0, refused = 0;
    for (let round = 0; round < 2500; round++) {
      const blob = seed.slice(0, pick(5) ? seed.length : pick(seed.length));
      for (let i = pick(5); i >= 0 && blob.length; i--) blob[pick(blob.length)] = pick(256);
      for (let at = 0; at + 512 <= blob.length; at += 512) {
        const header = blob.subarray(at, at + 512);
        if (String.fromCharCode(...header.subarray(257, 262)) !== "ustar") continue;
        if (!pick(4)) header.set(bytesOf((names[pick(names.length)] ?? "").padEnd(40, "\0")), pick(3) ? 0 : 157);
        if (!pick(8)) header[156] = bytesOf("0123456LKxgS")[pick(12)] ?? 48;
        header.fill(32, 148, 156);
        header.set(bytesOf(header.reduce((sum, byte) => sum + byte, 0).toString(8).padStart(6, "0") + "\0 "), 148);
      }
      await Deno.mkdir(layer);
      await Deno.writeFile(`${box}/blob`, blob);
      try {
        await unpackLayer(`${box}/blob`, "", layer);
        done++;
      } catch (error) {
        assert.ok(error instanceof ImageError, `round ${round}: ${error instanceof Error ? error.stack : error}`);
        refused++;
      }
      removeTree(AT_FDCWD, layer);
    }
    assert.deepEqual(treeOf(`${box}/victim`), before);
    assert.deepEqual([...Deno.readDirSync(box)].map(({ name }) => name).sort(), ["blob", "victim"]);
    assert.ok(done > 200 && refused > 200, `${done} done, ${refused} refused`);
  }));
