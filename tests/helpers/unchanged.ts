/**
 * What must stay as it is: images, and everything when a container is refused.
 *
 * @module
 */

import assert from "node:assert/strict";
import { host, inside, type InsideOptions } from "./inside.ts";
import { assertUnchanged, lookAtMachine } from "./leftovers.ts";
import type { World } from "./world.ts";

/** Everything in a folder: names, kinds, modes, owners, sizes, times and contents. */
export async function fingerprint(folder: string): Promise<string> {
  const script =
    "find . -printf '%p %y %m %U:%G %s %T@ %l\\n' | sort; find . -type f -print0 | sort -z | xargs -0 md5sum";
  return await host("sh", "-c", `cd "$1" && { ${script}; }`, "sh", folder);
}

/** The containers in a world. */
export function containersIn(world: World): string[] {
  return [...Deno.readDirSync(world.folders.containers)].map(({ name }) => name).filter((name) =>
    !name.startsWith(".")
  );
}

/** Runs what must be refused with an error of `type`, and checks that nothing was made. */
export async function refused(
  world: World,
  type: new (...words: never[]) => Error,
  options: InsideOptions,
): Promise<Error & { code?: string; hint?: string }> {
  const before = lookAtMachine();
  let caught: unknown;
  await inside(world, "echo ran; cat /etc/hostname", options).catch((error) => caught = error);
  assert.ok(caught instanceof type, `not refused: ${caught}`);
  assertUnchanged(before);
  assert.deepEqual(containersIn(world), []);
  return caught;
}
