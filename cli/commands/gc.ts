/**
 * `sauropod gc`: cleanup after killed commands.
 *
 * @module
 */

import { endOrphans, findOrphans, reclaim } from "../../lib/container/state/reclaim.ts";
import { listContainers } from "../../lib/container/state/names.ts";
import { findFolders, type FolderOptions } from "../../lib/host/folders.ts";
import { removeStaleArchives } from "../../lib/image/archive.ts";
import { printError, printJson, printOut } from "../output/output.ts";

/** The flags of `gc`. */
export interface GcFlags extends FolderOptions {
  readonly json?: boolean;
  readonly orphans?: boolean;
}

/** Reclaims resources and prints them. */
export async function gc(flags: GcFlags): Promise<void> {
  const { images, containers } = findFolders(flags);
  const result = await reclaim(containers);
  const used = listContainers(containers).flatMap(({ lower }) => lower);
  const archives = result.damaged.length > 0 ? [] : removeStaleArchives(images, used);
  const orphans = flags.orphans ? await endOrphans() : [];
  if (flags.json) return printJson({ ...result, archives, orphans });
  for (const id of result.removed) printOut(`removed ${id}\n`);
  for (const path of archives) printOut(`removed ${path}\n`);
  for (const id of result.ended) printOut(`marked as ended ${id}\n`);
  for (const { id, reason } of result.failed) {
    printError(`sauropod: cannot remove ${containers}/${id}: ${reason}`);
  }
  for (const id of orphans) printOut(`killed ${id}, whose directory is gone\n`);
  for (const { id, folder } of flags.orphans ? [] : findOrphans()) {
    printError(
      `sauropod: container ${id} is running, but its directory ${folder} is gone; kill it with sauropod gc --orphans`,
    );
  }
  for (const id of result.damaged) {
    printError(`sauropod: container ${id} is damaged; kill and remove it with sauropod rm -f ${id}`);
  }
}
