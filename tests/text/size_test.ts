import assert from "node:assert/strict";
import { formatSize, parseSize } from "../../lib/text/size.ts";
import { InputError } from "../../lib/errors.ts";
import { randomFrom } from "../helpers/random.ts";

const MiB = 1024 * 1024;

Deno.test("parseSize: sizes are read in powers of 1024", () => {
  const good: [string, number][] = [
    ["100000", 100_000],
    ["0", 0],
    ["1b", 1],
    ["2kb", 2048],
    ["2K", 2048],
    ["64m", 64 * MiB],
    ["10MiB", 10 * MiB],
    ["10 MiB", 10 * MiB],
    ["1.5g", 1536 * MiB],
    [".5g", 512 * MiB],
    ["0.1k", 102],
    ["1t", 1024 ** 4],
    ["7P", 7 * 1024 ** 5],
  ];
  for (const [text, bytes] of good) assert.equal(parseSize(text), bytes, text);
  const bad = ["", " ", "m", "1.", ".", "-1", "+1", "1e3", "0x10", "1 m ", " 1m", "1mm", "1ib", "1,5g", "1m\n", "8p"];
  for (const text of [...bad, "9".repeat(400), "NaN", "Infinity", "١"]) {
    assert.throws(
      () => parseSize(text),
      (error) =>
        error instanceof InputError && error.code === "bad-size" && error.message.includes(JSON.stringify(text)),
      text,
    );
  }
});

Deno.test("parseSize: sizes are shown in the largest unit that fits", () => {
  const cases: [number, string][] = [
    [0, "0 B"],
    [512, "512 B"],
    [1023, "1023 B"],
    [1024, "1 KiB"],
    [64 * MiB, "64 MiB"],
    [1536 * MiB, "1.5 GiB"],
    [1024 * MiB - 1, "1 GiB"],
    [Number.MAX_SAFE_INTEGER, "8 PiB"],
  ];
  for (const [bytes, text] of cases) assert.equal(formatSize(bytes), text);
});

Deno.test("random sizes read back near what was shown, and random text is a size or a bad-size", () => {
  const random = randomFrom(2), next = (below: number): number => Math.floor(random() * below);
  const alphabet = "0123456789.kKmMgGtTpPiIbB -e";
  for (let round = 0; round < 5000; round++) {
    const bytes = Math.floor(2 ** (next(52_000) / 1000));
    assert.ok(Math.abs(parseSize(formatSize(bytes)) - bytes) <= bytes * 0.005, String(bytes));
    const text = Array.from({ length: next(7) }, () => alphabet[next(alphabet.length)]).join("");
    try {
      const size = parseSize(text);
      assert.ok(Number.isSafeInteger(size) && size >= 0 && /^[.\d]/.test(text), text);
    } catch (error) {
      assert.ok(error instanceof InputError && error.code === "bad-size", text);
    }
  }
});
