import assert from "node:assert/strict";
import { sauropod } from "./attacks/engines.ts";
import { naive } from "./attacks/naive.ts";
import { ATTACKS, isVain, runSuite } from "./attacks/suite.ts";
import { assertApart } from "./helpers/network.ts";

Deno.test("no known attack on containers succeeds, and each of them does where nothing stops it (deno task attacks)", async () => {
  assertApart();
  const outcomes = await runSuite([sauropod, naive], ATTACKS);
  const told = outcomes.map(({ attack, engine, verdict, note }) => `${attack.id} ${engine} ${verdict}: ${note}`);
  const ours = told.filter((_, i) => outcomes[i]?.engine === sauropod.name && outcomes[i]?.verdict !== "holds");
  assert.deepEqual(ours, []);
  assert.deepEqual(told.filter((_, i) => outcomes[i] && isVain(outcomes[i])), []);
});
