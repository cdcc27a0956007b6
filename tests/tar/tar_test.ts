/** Tar archives, taken apart. */

import assert from "node:assert/strict";
import { encodeName } from "../../ffi/fs/names.ts";
import { ImageError } from "../../lib/errors.ts";
import type { TarEntry } from "../../lib/tar/entry.ts";
import { tarReader } from "../../lib/tar/read.ts";
import { output } from "../helpers/host_program.ts";
import { randomFrom } from "../helpers/random.ts";
import { bytesOf, concat, item, pax, records, tar } from "../helpers/tar.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Read = TarEntry & { body: string };

const latin = new TextDecoder("latin1");

function readTar(archive: Bytes, step = archive.length || 1): Read[] {
  const entries: Read[] = [];
  const parts: Bytes[] = [];
  const reader = tarReader({
    entry: (entry) => void entries.push({ ...entry, body: "" }),
    body: (bytes) => void parts.push(bytes.slice()),
    end: () => {
      const last = entries.at(-1);
      if (last) last.body = latin.decode(concat(...parts));
      parts.length = 0;
    },
  });
  for (let at = 0; at < archive.length; at += step) reader.push(archive.slice(at, at + step));
  reader.finish();
  return entries;
}

function one(archive: Bytes): Read {
  const [entry, ...more] = readTar(archive);
  assert.equal(more.length, 0);
  assert.ok(entry);
  return entry;
}

function refuses(archive: Bytes, code: string, message: RegExp): void {
  assert.throws(() => readTar(archive), (error) => {
    assert.ok(error instanceof ImageError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  });
}

Deno.test("tarReader: the tar reader gives an entry's fields and body", () => {
  const entry = one(tar({ name: "a/b", body: "hello", mode: 0o104755, uid: 7, gid: 8, mtime: 12 }));
  const expected = { name: "a/b", type: "file", size: 5, mode: 0o4755, uid: 7, gid: 8, mtime: 12_000_000_000n };
  assert.deepEqual(entry, { ...expected, target: "", major: 0, minor: 0, xattrs: new Map(), body: "hello" });
});

Deno.test("tarReader: the tar reader knows each type of entry", () => {
  const kinds = [["0", "file"], ["\0", "file"], ["7", "file"], ["1", "link"], ["2", "symlink"], ["3", "character"]];
  kinds.push(["4", "block"], ["5", "directory"], ["6", "fifo"]);
  for (const [type, expected] of kinds) {
    assert.equal(one(tar({ name: "n", type, target: "t", major: 1, minor: 3 })).type, expected);
  }
  assert.equal(one(tar({ name: "old/", magic: "v7" })).type, "directory");
});

Deno.test("tarReader: the tar reader reads numbers in octal and base-256", () => {
  const base256 = (bytes: number[]) => (header: Bytes) => header.set(bytes, 136);
  const rows: [number[], bigint][] = [
    [[0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0], 4294967296n],
    [[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe], -2n],
    [[...bytesOf("   17 ")], 15n],
    [[...bytesOf("17\0 99")], 15n],
    [new Array(12).fill(0), 0n],
  ];
  for (const [bytes, seconds] of rows) {
    const entry = one(tar({ name: "n", patch: (header) => (header.fill(0, 136, 148), base256(bytes)(header)) }));
    assert.equal(entry.mtime, seconds * 1_000_000_000n);
  }
});

Deno.test("the tar reader puts the prefix in front for POSIX only", () => {
  assert.equal(one(tar({ name: "n", prefix: "p/q" })).name, "p/q/n");
  assert.equal(one(tar({ name: "n", prefix: "p/q", magic: "gnu" })).name, "n");
  assert.equal(one(tar({ name: "n", prefix: "p/q", magic: "v7" })).name, "n");
});

Deno.test("the tar reader applies GNU long names and links to the next entry only", () => {
  const long = "d/".repeat(80) + "f", target = "t".repeat(300);
  const longName = item({ name: "././@LongLink", type: "L", body: long + "\0", magic: "gnu" });
  const longTarget = item({ name: "././@LongLink", type: "K", body: target + "\0", magic: "gnu" });
  const entries = readTar(tar(longName, longTarget, { name: "cut", type: "2", target: "cut" }, { name: "next" }));
  assert.deepEqual(entries.map(({ name, target }) => [name, target]), [[long, target], ["next", ""]]);
});

Deno.test("tarReader: the tar reader applies extended headers, the nearer ones first", () => {
  const xattr = new Uint8Array([1, 0, 2, 10, 61]);
  const near = pax({
    path: "näher/é",
    linkpath: "x".repeat(200),
    uid: "4000000000",
    gid: "70000",
    mtime: "1.25",
    "SCHILY.xattr.user.a": xattr,
  });
  const archive = tar(pax({ mtime: "-3.5", comment: "c" }, "g"), near, { name: "n", type: "2" }, { name: "m" });
  const [first, second] = readTar(archive);
  assert.ok(first && second);
  assert.equal(first.name, "näher/é");
  assert.equal(first.target, "x".repeat(200));
  assert.deepEqual([first.uid, first.gid, first.mtime], [4_000_000_000, 70_000, 1_250_000_000n]);
  assert.deepEqual([...first.xattrs], [["user.a", xattr]]);
  assert.deepEqual([second.name, second.mtime], ["m", -3_500_000_000n]);
});

Deno.test("tarReader: the tar reader lets an extended header tell the size", () => {
  const archive = tar(concat(pax({ size: "3" }), item({ name: "n", size: 0 }), concat("abc", new Uint8Array(509))));
  assert.equal(one(archive).body, "abc");
});

Deno.test("tarReader: the tar reader does not expect a body after a hard link that tells its file's size", () => {
  const entries = readTar(
    tar({ name: "a", body: "xy" }, { name: "b", type: "1", target: "a", size: 2 }, { name: "c" }),
  );
  assert.deepEqual(entries.map(({ name, size }) => [name, size]), [["a", 2], ["b", 0], ["c", 0]]);
});

Deno.test("tarReader: the tar reader gives the same whatever the chunks", () => {
  const archive = tar(
    { name: "a", body: "x".repeat(1500) },
    pax({ path: "long" }),
    { name: "b", body: "y".repeat(512) },
    { name: "c", type: "5" },
  );
  const whole = readTar(archive);
  for (const step of [1, 7, 511, 512, 513, 1024, 4000]) assert.deepEqual(readTar(archive, step), whole);
});

Deno.test("the tar reader keeps the bytes of names that are not UTF-8, each component by itself", () => {
  const raw = new Uint8Array([0xc3, 0xa9, 47, 0xc3, 0xa9, 0xff, 97]), name = "é/\udcc3\udca9\udcffa";
  assert.equal(one(tar({ name: "0123456", patch: (header) => header.set(raw) })).name, name);
  assert.equal(one(tar(pax({ path: raw }), { name: "n" })).name, name);
  assert.equal(one(tar(item({ name: "@", type: "L", body: raw, magic: "gnu" }), { name: "n" })).name, name);
  assert.equal(one(tar(pax({ linkpath: raw }), { name: "n", type: "2" })).target, name);
  assert.deepEqual(encodeName(name), raw);
  assert.deepEqual(encodeName("é"), new Uint8Array([0xc3, 0xa9]));
});

Deno.test("tarReader: the tar reader gives the map of a sparse file, and only its data as the body", () => {
  const pieces = [[1, 2], [10, 3]], expected = { size: 20, pieces };
  const old = (header: Bytes) => {
    [1, 2, 10, 3, 20, 0].forEach((value, i) => header.set(bytesOf(value.toString(8).padStart(11, "0")), 386 + i * 12));
    header.set(bytesOf("00000000024"), 483);
  };
  const oldest = records({ "GNU.sparse.size": "20", "GNU.sparse.numblocks": "2" });
  const repeated = pieces.map(([offset, length]) =>
    records({ "GNU.sparse.offset": `${offset}`, "GNU.sparse.numbytes": `${length}` })
  );
  const leading = "2\n1\n2\n10\n3\n".padEnd(512, "\0") + "abcde";
  const version1 = { "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "20" };
  const rows: [string, Bytes][] = [
    ["old", tar({ name: "n", type: "S", magic: "gnu", body: "abcde", patch: old })],
    ["0.0", tar(item({ name: "x", type: "x", body: concat(oldest, ...repeated) }), { name: "n", body: "abcde" })],
    ["0.1", tar(pax({ "GNU.sparse.size": "20", "GNU.sparse.map": "1,2,10,3,20,0" }), { name: "n", body: "abcde" })],
    ["1.0", tar(pax({ ...version1, "GNU.sparse.name": "n" }), { name: "GNUSparseFile.1/n", body: leading })],
  ];
  for (const [format, archive] of rows) {
    for (const step of [archive.length, 7, 513]) {
      const [entry, ...more] = readTar(archive, step);
      assert.deepEqual([entry?.name, entry?.sparse, entry?.body, more.length], ["n", expected, "abcde", 0], format);
    }
  }
});

Deno.test("tarReader: the tar reader refuses what is malformed, by name", () => {
  const record = (body: string) => tar(item({ name: "x", type: "x", body }), { name: "n" });
  const sparse = (map: string, body: string) =>
    tar(pax({ "GNU.sparse.map": map, "GNU.sparse.size": "4" }), { name: "n", body });
  const leading = (map: string) =>
    tar(pax({ "GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "4" }), {
      name: "n",
      body: map.padEnd(512, "\0"),
    });
  const patched = (at: number, bytes: string) => tar({ name: "n", patch: (header) => header.set(bytesOf(bytes), at) });
  const rows: [Bytes, string, RegExp][] = [
    [tar({ name: "n", checksumError: 1 }), "archive-malformed", /checksum/],
    [concat("hello, ".repeat(200)), "archive-malformed", /checksum/],
    [patched(124, "zzz"), "archive-malformed", /size of a header is not a number/],
    [patched(124, "\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff"), "archive-malformed", /size/],
    [tar({ name: "n", patch: (header) => header.fill(0xff, 124, 136) }), "archive-malformed", /negative/],
    [
      tar({ name: "n", patch: (header) => header.fill(0xff, 108, 116) }),
      "archive-malformed",
      /uid of "n" is out of range/,
    ],
    [tar(pax({ uid: "4294967295" }), { name: "n" }), "archive-malformed", /uid of "n" is out of range/],
    [tar({ name: "n", type: "5", body: "x" }), "archive-malformed", /directory, yet it has a size/],
    [tar({ name: "n", type: "2", body: "x" }), "archive-malformed", /symlink, yet it has a size/],
    [tar({ name: "" }), "archive-malformed", /no name/],
    [tar(pax({ path: "a\0b" }), { name: "n" }), "archive-malformed", /path of an extended header holds a NUL/],
    [tar(pax({ "SCHILY.xattr.user.a\0b": "1" }), { name: "n" }), "archive-malformed", /key that holds a NUL/],
    [tar(pax({ size: "-1" }), { name: "n" }), "archive-malformed", /size of an extended header/],
    [tar(pax({ mtime: "1e9" }), { name: "n" }), "archive-malformed", /mtime/],
    [tar(pax({ path: "n" }, "g"), { name: "n" }), "archive-malformed", /global header sets path/],
    [record("5 a=b\n"), "archive-malformed", /bad record/],
    [record("7 a=b\n"), "archive-malformed", /bad record/],
    [record("99999999999 a=b\n"), "archive-malformed", /bad record/],
    [record("0 a=b\n"), "archive-malformed", /bad record/],
    [record("-6 a=b\n"), "archive-malformed", /bad record/],
    [record("6 ab=\n6 =b\n"), "archive-malformed", /bad record/],
    [record("6 a=bc"), "archive-malformed", /bad record/],
    [tar(item({ name: "x", type: "L", size: 2 ** 30 })), "archive-malformed", /impossible size/],
    [tar({ name: "a" }, new Uint8Array(512), { name: "b" }), "archive-malformed", /follows a block of zeros/],
    [tar({ name: "n", type: "S", magic: "gnu", body: "x" }), "archive-malformed", /map of the sparse file "n"/],
    [tar(pax({ "GNU.sparse.major": "2" }), { name: "n" }), "archive-unsupported", /sparse file of version 2.0/],
    [tar(pax({ "GNU.sparse.map": "0,1" }, "g"), { name: "n" }), "archive-malformed", /global header sets GNU.sparse/],
    [sparse("0,1,0,1", "ab"), "archive-malformed", /out of order/],
    [sparse("0,9", "x".repeat(9)), "archive-malformed", /out of order or range/],
    [sparse("0,4", "x"), "archive-malformed", /another length/],
    [sparse("0", ""), "archive-malformed", /ends in the middle/],
    [sparse("0,-1", ""), "archive-malformed", /invalid number/],
    [leading("1\n0\n"), "archive-malformed", /invalid number/],
    [leading("x\n"), "archive-malformed", /invalid number/],
    [leading("9999999\n" + "1\n".repeat(253)), "archive-malformed", /too long/],
    [tar({ name: "n", type: "M" }), "archive-unsupported", /multi-volume/],
    [tar({ name: "n", type: "Z" }), "archive-unsupported", /unknown type "Z"/],
    [patched(0, "").fill(0xff, 0, 1), "archive-malformed", /checksum/],
    [tar(pax({ path: "x" })), "archive-truncated", /truncated/],
    [tar({ name: "n", size: 5000 }), "archive-truncated", /truncated/],
    [tar({ name: "n", size: 0o77777777777 }), "archive-truncated", /truncated/],
    [new Uint8Array(), "archive-truncated", /truncated/],
  ];
  for (const [archive, code, message] of rows) refuses(archive, code, message);
});

Deno.test("tarReader: the tar reader takes an archive that is cut anywhere for truncated", () => {
  const archive = tar({ name: "a", body: "x".repeat(600) }, pax({ path: "b" }), { name: "n", body: "y" });
  const end = archive.length - 1024;
  for (let length = 0; length < end + 512; length += 37) {
    refuses(archive.slice(0, length), "archive-truncated", /truncated/);
  }
  assert.equal(readTar(archive.slice(0, end + 512)).length, 2);
});

Deno.test("tarReader: a mutated archive is read or refused, never anything else", () => {
  const random = randomFrom(20261123);
  const pick = (limit: number): number => Math.floor(random() * limit);
  const seed = tar(
    { name: "dir/", type: "5" },
    { name: "a", body: "x".repeat(700) },
    pax({ path: "b", mtime: "1.5", "SCHILY.xattr.user.x": "1" }),
    { name: "n", type: "2", target: "a" },
    item({ name: "@", type: "L", body: "long\0", magic: "gnu" }),
    { name: "c", type: "1", target: "a" },
  );
  let read = 0, refused = 0;
  for (let round = 0; round < 6000; round++) {
    const archive = seed.slice(0, pick(4) ? seed.length : pick(seed.length));
    for (let i = pick(6); i >= 0; i--) if (archive.length) archive[pick(archive.length)] = pick(256);
    // With the checksums right again, the mutations get past them.
    if (pick(3)) { for (let at = 0; at + 512 <= archive.length; at += 512) repair(archive.subarray(at, at + 512)); }
    try {
      readTar(archive, 1 + pick(2000));
      read++;
    } catch (error) {
      assert.ok(error instanceof ImageError, `round ${round}: ${error}`);
      refused++;
    }
  }
  assert.ok(read > 500 && refused > 500, `${read} read, ${refused} refused`);
});

function repair(header: Bytes): void {
  if (latin.decode(header.subarray(257, 262)) !== "ustar") return;
  header.fill(32, 148, 156);
  const sum = header.reduce((sum, byte) => sum + byte, 0);
  header.set(bytesOf(sum.toString(8).padStart(6, "0") + "\0 "), 148);
}

Deno.test("tarReader: the tar reader reads what tar writes in each of its formats", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const deep = "deep".repeat(10) + "/" + "er".repeat(60);
    await Deno.mkdir(`${folder}/${deep}`, { recursive: true });
    await Deno.writeTextFile(`${folder}/${deep}/file`, "body");
    await Deno.symlink("../" + "t".repeat(120), `${folder}/link`);
    for (const format of ["gnu", "pax"]) {
      const entries = readTar(await output("tar", ["-c", "--format", format, "-C", folder, "."]));
      const found = new Map(entries.map((entry) => [entry.name, entry]));
      assert.equal(found.get(`./${deep}/file`)?.body, "body");
      assert.equal(found.get("./link")?.target, "../" + "t".repeat(120));
    }
    for (const format of ["v7", "oldgnu", "ustar"]) {
      const entries = readTar(await output("tar", ["-c", "--format", format, "-C", `${folder}/${deep}`, "file"]));
      assert.deepEqual(entries.map(({ name, body }) => [name, body]), [["file", "body"]]);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
