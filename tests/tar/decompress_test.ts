/** Compressed streams, whole and damaged. */

import assert from "node:assert/strict";
import { ImageError } from "../../lib/errors.ts";
import { decompress, sniff } from "../../lib/tar/decompress.ts";
import type { TarEntry } from "../../lib/tar/entry.ts";
import { output } from "../helpers/host_program.ts";
import { bytesOf, concat } from "../helpers/tar.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type Read = TarEntry & { body: string };

const latin = new TextDecoder("latin1");

async function decompressed(archive: Bytes, step = archive.length || 1): Promise<string> {
  const chunks = [];
  for (let at = 0; at < archive.length; at += step) chunks.push(archive.slice(at, at + step));
  const parts = [];
  for await (const part of decompress(chunks)) parts.push(part.slice());
  return latin.decode(concat(...parts));
}

Deno.test("decompress: the compression is told by content", () => {
  const rows: [number[], string][] = [
    [[0x1f, 0x8b, 8], "gzip"],
    [[0x28, 0xb5, 0x2f, 0xfd], "zstd"],
    [[0x5a, 0x2a, 0x4d, 0x18], "zstd"],
    [[0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], "xz"],
    [[0x42, 0x5a, 0x68, 0x39], "bzip2"],
    [[0x1f], "none"],
    [[], "none"],
  ];
  for (const [bytes, expected] of rows) assert.equal(sniff(new Uint8Array(bytes)), expected);
});

Deno.test("gzip and zstd streams are decompressed whatever the chunks, members and frames", async () => {
  const plain = Array.from({ length: 60_000 }, (_, i) => `line ${i * 7919}`).join("\n"), bytes = bytesOf(plain);
  const gzip = await output("gzip", ["-c"], bytes), zstd = await output("zstd", ["-cq"], bytes);
  const stream = await output("zstd", ["-cq", "--no-check", "-3"], bytes);
  const zeros = await output("zstd", ["-cq"], new Uint8Array(1 << 20));
  const skippable = new Uint8Array([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
  const rows: [Bytes, string][] = [
    [bytes, plain],
    [gzip, plain],
    [concat(gzip, gzip), plain + plain],
    [concat(gzip, new Uint8Array(512)), plain],
    [zstd, plain],
    [concat(zstd, stream), plain + plain],
    [concat(skippable, zstd, skippable), plain],
    [zeros, "\0".repeat(1 << 20)],
    [new Uint8Array(), ""],
    [bytesOf("abc"), "abc"],
  ];
  for (const [packed, expected] of rows) {
    for (const step of [packed.length || 1, 4096, 977]) assert.ok(await decompressed(packed, step) === expected);
  }
  assert.equal(await decompressed(await output("gzip", ["-c"], bytesOf("tiny")), 1), "tiny");
  assert.equal(await decompressed(await output("zstd", ["-cq"], bytesOf("tiny")), 1), "tiny");
});

Deno.test("decompress: damaged, cut and continued streams are refused", async () => {
  const bytes = bytesOf(Array.from({ length: 20_000 }, (_, i) => `line ${i * 7919}`).join("\n"));
  const damage = (packed: Bytes, at: number) => packed.with(at, (packed[at] ?? 0) ^ 0x55);
  for (const program of ["gzip", "zstd"]) {
    const packed = await output(program, ["-cq"], bytes);
    const rows: [string, Bytes][] = [
      ["cut at the end", packed.slice(0, -1)],
      ["cut before its checksum", packed.slice(0, -6)],
      ["cut in the middle", packed.slice(0, packed.length >> 1)],
      ["cut in its header", packed.slice(0, 5)],
      ["continued", concat(packed, "garbage")],
      ["continued by part of another", concat(packed, packed.slice(0, 100))],
      ["damaged in the middle", damage(packed, packed.length >> 1)],
      ["damaged in its checksum", damage(packed, packed.length - (program === "gzip" ? 6 : 2))],
    ];
    for (const [what, stream] of rows) {
      await assert.rejects(decompressed(stream, 5000), (error) => {
        assert.ok(error instanceof ImageError, `${program}, ${what}: ${error}`);
        assert.equal(error.code, "archive-corrupt", `${program}, ${what}`);
        return true;
      }, `${program}, ${what}`);
    }
  }
});

Deno.test("decompress: damage anywhere in a long stream is told to who reads it", async () => {
  const bytes = bytesOf(Array.from({ length: 60_000 }, (_, i) => `line ${i * 7919}`).join("\n"));
  for (const program of ["gzip", "zstd"]) {
    const packed = await output(program, ["-cq", "-1"], bytes);
    let seed = 7;
    const random = (below: number): number => (seed = (seed * 1103515245 + 12345) & 0x7fffffff) % below;
    for (let round = 0; round < 60; round++) {
      const at = round < 8 ? packed.length - 1 - round : 20 + random(packed.length - 28);
      const damaged = packed.with(at, (packed[at] ?? 0) ^ (1 << random(8)));
      await assert.rejects(decompressed(damaged), { code: "archive-corrupt" }, `${program}, byte ${at}`);
    }
  }
});

Deno.test("decompress: xz and bzip2 are refused by name, with what to do", async () => {
  for (const program of ["xz", "bzip2"]) {
    const packed = await output(program, ["-c"], bytesOf("text"));
    await assert.rejects(decompressed(packed), (error) => {
      assert.ok(error instanceof ImageError);
      assert.equal(error.code, "archive-unsupported");
      assert.match(error.message, new RegExp(program));
      assert.match(error.hint ?? "", /gzip or zstd/);
      return true;
    });
  }
});
