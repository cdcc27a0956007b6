import assert from "node:assert/strict";
import { isoTime, now } from "../../lib/host/clock.ts";
import { randomFrom } from "../helpers/random.ts";

Deno.test("isoTime: times are written as Date writes them", () => {
  const edges = ["1970-01-01", "2000-02-29", "2026-12-31", "2027-01-01", "2100-02-28", "2100-03-01", "2400-02-29"];
  const random = randomFrom(1), last = Date.parse("9999-12-31T23:59:59.999Z");
  const drawn = Array.from({ length: 20_000 }, () => Math.floor(random() * last));
  for (const time of [0, 999, last, ...edges.map((day) => Date.parse(day)), ...drawn]) {
    assert.equal(isoTime(time), new Date(time).toISOString());
  }
  assert(Math.abs(Date.parse(now()) - Date.now()) < 1000);
});
