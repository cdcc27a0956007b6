/**
 * `sauropod rm`.
 *
 * @module
 */

import { reclaim } from "../../lib/container/state/reclaim.ts";
import { type ContainerInfo, listAll } from "../../lib/container/state/list.ts";
import { remove } from "../../lib/container/detached/stop.ts";
import { readOwnership } from "../../lib/container/state/ownership.ts";
import { InputError } from "../../lib/errors.ts";
import { findFolders, type FolderOptions } from "../../lib/host/folders.ts";
import { forEach } from "./each.ts";

/** The flags of `rm`. */
export interface RmFlags extends FolderOptions {
  readonly force?: boolean;
  readonly all?: boolean;
}

/** Removes containers. Returns 1 if one could not be removed; with `force`, a missing one is no failure. */
export async function rm(flags: RmFlags, ...queries: string[]): Promise<number> {
  if (queries.length === 0 && !flags.all) {
    throw new InputError("rm requires CONTAINER or --all", {
      code: "no-container",
      hint: "for example: sauropod rm web",
    });
  }
  const folders = findFolders(flags);
  const { containers } = folders;
  await reclaim(containers);
  const isDone = ({ id, status }: ContainerInfo): boolean =>
    status !== "damaged" && readOwnership(containers, id) === undefined;
  const all = flags.all ? listAll(containers).filter((container) => flags.force || isDone(container)) : [];
  return await forEach(
    [...queries, ...all.map(({ id }) => id)],
    (query) => remove(query, { ...folders, force: flags.force }),
    { harmless: flags.force ? ["container-not-found"] : [] },
  );
}
