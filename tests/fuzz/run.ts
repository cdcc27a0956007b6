/**
 * `deno task fuzz [--seconds N] [--seed N] [TARGET…]`: fuzzes each parser for a while (default: 5 s), and keeps an input
 * that one does not cope with in `corpus/TARGET/`. Ends with 1 if there was one.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { fuzz, keep } from "./fuzz.ts";
import { TARGETS } from "./targets.ts";

const { values, positionals } = parseArgs({
  options: { seconds: { type: "string", default: "5" }, seed: { type: "string", default: "1" } },
  allowPositionals: true,
});
const unknown = positionals.filter((name) => !TARGETS.some((target) => target.name === name));
if (unknown.length > 0) {
  console.error(`unknown target ${unknown.join(", ")}; there are ${TARGETS.map(({ name }) => name).join(", ")}`);
  Deno.exit(2);
}
let crashes = 0;
for (const target of TARGETS.filter(({ name }) => positionals.length === 0 || positionals.includes(name))) {
  const end = performance.now() + Number(values.seconds) * 1000;
  let rounds = 0;
  const crash = fuzz(target, Number(values.seed), (round) => {
    rounds = round;
    return performance.now() < end;
  });
  console.log(`${target.name}: ${crash ? "crash" : "ok"}, ${rounds} inputs`);
  if (!crash) continue;
  crashes++;
  console.log(crash.error, `\nkept as ${keep(target, crash)}`);
}
Deno.exit(crashes === 0 ? 0 : 1);
