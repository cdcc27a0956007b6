/**
 * `sauropod update`: other limits for containers, and when they are started again.
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

/** Changes containers, all that can be; ends with 1 if one could not. */
export async function update(flags: UpdateFlags, ...queries: string[]): Promise<number> {
  const { containers } = findFolders(flags);
  await reclaim(containers);
  return await forEach(queries, (query) => {
    const { uncounted } = updateContainer(containers, query, { ...limitsOf(flags), restart: flags.restart });
    if (uncounted === undefined) return;
    printError(
      `sauropod: ${query} uses ${formatSize(uncounted)} already, which its new limit on memory does not count`,
    );
  });
}
