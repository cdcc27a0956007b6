/**
 * Sauropod's command line, as it is measured.
 *
 * @module
 */

import { runCommand } from "./peers.ts";

const DENO = [Deno.execPath(), "run", "-A"];
const project = new URL("../", import.meta.url).pathname;

/** The command from its sources. */
export const FROM_SOURCES: readonly string[] = [...DENO, `${project}cli.ts`];

/** The command as it is installed: packed, here into `folder`. */
export async function packed(folder: string): Promise<readonly string[]> {
  await runCommand([...DENO, `${project}tools/pack/pack.ts`, folder]);
  return [`${folder}/sauropod`];
}
