/**
 * A place to unpack in.
 *
 * @module
 */

import { output } from "./tar.ts";

/** A folder with `root`, to unpack to, and `outside`, which must stay as it is. */
export async function inBox(use: (box: string) => Promise<void>): Promise<void> {
  const box = await Deno.makeTempDir({ prefix: "sauropod-unpack-" });
  try {
    await Deno.mkdir(`${box}/root`);
    await Deno.mkdir(`${box}/outside`, { mode: 0o755 });
    await Deno.writeTextFile(`${box}/outside/secret`, "secret", { mode: 0o600 });
    await use(box);
  } finally {
    await output("chmod", ["-R", "u+rwX", box]);
    await Deno.remove(box, { recursive: true });
  }
}
