/**
 * `sauropod update`: limits and restart policies of containers.
 *
 * @module
 */

import { reclaim } from "../../lib/container/state/reclaim.ts";
import { updateContainer } from "../../lib/container/detached/update.ts";
import { findFolders, type FolderOptions } from "../../lib/host/folders.ts";
import { formatSize } from "../../lib/text/size.ts";
import { forEach } from "./each.ts";
import { limitsOf } from "../args/container_flags.ts";
import { printError } from "../output/output.ts";

/** The flags of `update`, as `run` has them. */
export interface UpdateFlags extends FolderOptions {
  readonly cpuShares?: number;
  readonly cpus?: number;
  readonly cpusetCpus?: string;
  readonly cpusetMems?: string;
  readonly memory?: number;
  readonly memorySwap?: number;
  readonly memoryReservation?: number;
  readonly pidsLimit?: number;
  readonly restart?: string;
}

/** Updates containers. Returns 1 if one could not be updated. */
export async function update(flags: UpdateFlags, ...queries: string[]): Promise<number> {
  const { containers } = findFolders(flags);
  await reclaim(containers);
  return await forEach(queries, (query) => {
    const { uncounted } = updateContainer(containers, query, { ...limitsOf(flags), restart: flags.restart });
    if (uncounted === undefined) return;
    printError(
      `sauropod: the new memory limit of ${query} does not count ${formatSize(uncounted)} that it uses already`,
    );
  });
}
