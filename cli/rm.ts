/**
 * `sauropod rm`: removes containers.
 *
 * @module
 */

import { endContainer, reclaim } from "../lib/container/leftovers.ts";
import { type ContainerRecord, statusOf } from "../lib/container/record.ts";
import { findContainer, listContainers, removeContainer } from "../lib/container/store.ts";
import { ContainerError, InputError } from "../lib/errors.ts";
import { findFolders } from "../lib/folders.ts";
import type { Context } from "./context.ts";
import type { FolderFlags } from "./flags.ts";
import { formatError, print, say } from "./text.ts";

/** The flags of `rm`. */
export interface RmFlags extends FolderFlags {
  /** Kill those that run. */
  readonly force?: boolean;
  /** Every container that has ended. */
  readonly all?: boolean;
}

function remove(containers: string, record: ContainerRecord, force: boolean): void {
  if (statusOf(record) !== "exited") {
    if (!force) {
      throw new ContainerError(`container ${record.id} is ${statusOf(record)}`, {
        code: "container-running",
        facts: { id: record.id },
        hint: "end it first, or use --force",
      });
    }
    endContainer(record);
  }
  removeContainer(containers, record);
}

/** Removes containers, all that can be; ends with 1 if one could not. */
export function rm(this: Context, flags: RmFlags, ...queries: string[]): void {
  if (queries.length === 0 && !flags.all) {
    throw new InputError("rm needs the name or id of a container", { code: "no-container", hint: "or --all" });
  }
  const { containers } = findFolders(flags);
  reclaim(containers);
  const all = flags.all
    ? listContainers(containers).filter((record) => flags.force || statusOf(record) === "exited")
    : [];
  for (const query of [...queries, ...all.map(({ id }) => id)]) {
    try {
      remove(containers, findContainer(containers, query), flags.force ?? false);
      print(query + "\n");
    } catch (error) {
      if (!(error instanceof ContainerError)) throw error;
      say(formatError(error));
      this.process.exitCode = 1;
    }
  }
}
