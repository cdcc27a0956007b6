/**
 * Compiles the sources of attacks in `tests/attacks/`.
 *
 * @module
 */

import { host } from "./inside.ts";
import { PROJECT } from "./project.ts";

/** Compiles `tests/attacks/NAME.c` into the file `output`, a static program unless `flags` say otherwise. */
export async function compileAttack(
  name: string,
  output: string,
  flags: readonly string[] = ["-static"],
): Promise<void> {
  await host("gcc", "-O1", "-w", ...flags, "-o", output, `${PROJECT}/tests/attacks/${name}.c`);
}
