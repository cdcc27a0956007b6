/**
 * `sauropod pause` and `sauropod unpause`.
 *
 * @module
 */

import { reclaim } from "../lib/container/leftovers.ts";
import { pauseContainer, unpauseContainer } from "../lib/container/pause.ts";
import { findFolders, type FolderOptions } from "../lib/folders.ts";
import type { Context } from "./context.ts";
import { forEach } from "./each.ts";

/** Pauses containers, all that can be; ends with 1 if one could not. */
export async function pause(this: Context, flags: FolderOptions, ...queries: string[]): Promise<void> {
  const { containers } = findFolders(flags);
  await reclaim(containers);
  await forEach(this, queries, (query) => pauseContainer(containers, query));
}

/** Lets paused containers run again, all that can; ends with 1 if one could not. */
export async function unpause(this: Context, flags: FolderOptions, ...queries: string[]): Promise<void> {
  const { containers } = findFolders(flags);
  await reclaim(containers);
  await forEach(this, queries, (query) => unpauseContainer(containers, query));
}
