/**
 * `sauropod rm`: removes containers.
 *
 * @module
 */

import { reclaim } from "../lib/container/leftovers.ts";
import { listContainers } from "../lib/container/names.ts";
import type { ContainerRecord } from "../lib/container/record.ts";
import { remove } from "../lib/container/stop.ts";
import { livenessOf } from "../lib/container/store.ts";
import { InputError, SauropodError } from "../lib/errors.ts";
import { findFolders, type FolderOptions } from "../lib/folders.ts";
import type { Context } from "./context.ts";
import { formatError, print, say } from "./text.ts";

/** The flags of `rm`. */
export interface RmFlags extends FolderOptions {
  /** Kill those that run. */
  readonly force?: boolean;
  /** Every container that has ended. */
  readonly all?: boolean;
}

/** Removes containers, all that can be; ends with 1 if one could not. */
export async function rm(this: Context, flags: RmFlags, ...queries: string[]): Promise<void> {
  if (queries.length === 0 && !flags.all) {
    throw new InputError("rm needs the name or id of a container", { code: "no-container", hint: "or --all" });
  }
  const folders = findFolders(flags);
  const { containers } = folders;
  await reclaim(containers);
  const isDone = (record: ContainerRecord): boolean => livenessOf(containers, record.id) === undefined;
  const all = flags.all ? listContainers(containers).filter((record) => flags.force || isDone(record)) : [];
  for (const query of [...queries, ...all.map(({ id }) => id)]) {
    try {
      await remove(query, { ...folders, force: flags.force });
      print(query + "\n");
    } catch (error) {
      if (!(error instanceof SauropodError)) throw error;
      say(formatError(error));
      this.process.exitCode = 1;
    }
  }
}
