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
  // A race may be lost: the naive container gets a few more turns at what it did not fall to.
  let vain = outcomes.filter(isVain).map(({ attack }) => attack);
  for (let turn = 0; turn < 4 && vain.length > 0; turn++) {
    vain = (await runSuite([naive], vain)).filter(isVain).map(({ attack }) => attack);
  }
  assert.deepEqual(vain.map(({ id }) => id), []);
});
