import assert from "node:assert/strict";
import { attempt, fuzz, type Target } from "./fuzz.ts";
import { TARGETS } from "./targets.ts";

for (const target of TARGETS) {
  Deno.test(`deno task fuzz ${target.name}: a short turn, and all that was found before`, () => {
    assert.equal(fuzz(target, 1, (round) => round < 300), undefined);
  });
}

Deno.test("deno task fuzz notices errors without a type and time that grows with the square", () => {
  const careless: Target = { name: "careless", seeds: ['{"a":1}'], parse: (bytes) => JSON.parse(String(bytes)) };
  assert(fuzz(careless, 1, (round) => round < 10)?.error instanceof SyntaxError);
  const slow: Target = {
    name: "slow",
    seeds: ["a"],
    parse: (bytes) => bytes.reduce((sum) => sum + bytes.reduce((inner, byte) => inner ^ byte, 0), 0),
  };
  assert.match(String(attempt(slow, new Uint8Array(8_000))), /8000 bytes took \d+ ms of CPU time/);
});
