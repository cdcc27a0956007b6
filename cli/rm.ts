/**
 * `sauropod rm`: removes containers.
 *
 * @module
 */

import { awaitRelease, endContainer, reclaim } from "../lib/container/leftovers.ts";
import { type ContainerRecord, statusOf } from "../lib/container/record.ts";
import { findContainer, listContainers } from "../lib/container/names.ts";
import { livenessOf, removeContainer } from "../lib/container/store.ts";
import { shownStatusOf } from "../lib/container/pause.ts";
import { ContainerError, InputError } from "../lib/errors.ts";
import { findFolders, type FolderOptions } from "../lib/folders.ts";
import type { Context } from "./context.ts";
import { forEach } from "./each.ts";

/** The flags of `rm`. */
export interface RmFlags extends FolderOptions {
  /** Kill those that run. */
  readonly force?: boolean;
  /** Every container that has ended. */
  readonly all?: boolean;
}

async function remove(containers: string, record: ContainerRecord, force: boolean): Promise<void> {
  const liveness = livenessOf(containers, record.id);
  const status = shownStatusOf(record, liveness);
  if (status !== "exited") {
    if (!force) {
      throw new ContainerError(`container ${record.id} is ${status}`, {
        code: "container-running",
        facts: { id: record.id },
        hint: "end it first, or use --force",
      });
    }
    await endContainer(containers, record, liveness);
    await awaitRelease(containers, record.id);
  }
  await removeContainer(containers, record);
}

/** Removes containers, all that can be; ends with 1 if one could not. */
export async function rm(this: Context, flags: RmFlags, ...queries: string[]): Promise<void> {
  if (queries.length === 0 && !flags.all) {
    throw new InputError("rm needs the name or id of a container", { code: "no-container", hint: "or --all" });
  }
  const { containers } = findFolders(flags);
  await reclaim(containers);
  const isDone = (record: ContainerRecord): boolean => statusOf(record, livenessOf(containers, record.id)) === "exited";
  const all = flags.all ? listContainers(containers).filter((record) => flags.force || isDone(record)) : [];
  await forEach(
    this,
    [...queries, ...all.map(({ id }) => id)],
    (query) => remove(containers, findContainer(containers, query), flags.force ?? false),
  );
}
