/**
 * `sauropod gc`: takes away what killed commands left.
 *
 * @module
 */

import { reclaim } from "../lib/container/leftovers.ts";
import { findFolders, type FolderOptions } from "../lib/folders.ts";
import type { Context } from "./context.ts";
import { print, printJson, say } from "./text.ts";

/** Reclaims and says what. */
export async function gc(this: Context, flags: FolderOptions & { json?: boolean }): Promise<void> {
  const { containers } = findFolders(flags);
  const result = await reclaim(containers);
  if (flags.json) return printJson(result);
  for (const id of result.removed) print(`removed ${id}\n`);
  for (const id of result.ended) print(`marked as ended ${id}\n`);
  for (const id of result.damaged) say(`sauropod: ${containers}/${id} has no readable record; it was left alone`);
}
