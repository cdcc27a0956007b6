/**
 * `sauropod pause` and `sauropod unpause`.
 *
 * @module
 */

import { reclaim } from "../../lib/container/state/reclaim.ts";
import { pauseContainer, unpauseContainer } from "../../lib/container/detached/pause.ts";
import { findFolders, type FolderOptions } from "../../lib/host/folders.ts";
import { forEach } from "./each.ts";

/** Pauses containers. Returns 1 if one could not be paused. */
export async function pause(flags: FolderOptions, ...queries: string[]): Promise<number> {
  const { containers } = findFolders(flags);
  await reclaim(containers);
  return await forEach(queries, (query) => pauseContainer(containers, query));
}

/** Resumes paused containers. Returns 1 if one could not be resumed. */
export async function unpause(flags: FolderOptions, ...queries: string[]): Promise<number> {
  const { containers } = findFolders(flags);
  await reclaim(containers);
  return await forEach(queries, (query) => unpauseContainer(containers, query));
}
