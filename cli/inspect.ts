/**
 * `sauropod inspect`: the records of containers.
 *
 * @module
 */

import { findContainer } from "../lib/container/names.ts";
import { shownStatusOf } from "../lib/container/pause.ts";
import { livenessOf } from "../lib/container/store.ts";
import { findFolders, type FolderOptions } from "../lib/folders.ts";
import type { Context } from "./context.ts";
import { printJson } from "./text.ts";

/** Prints what is known of containers. */
export function inspect(this: Context, flags: FolderOptions, ...queries: string[]): void {
  const { containers } = findFolders(flags);
  const records = queries.map((query) => findContainer(containers, query));
  printJson(records.map((record) => {
    const liveness = livenessOf(containers, record.id);
    const folder = `${containers}/${record.id}`;
    return { ...record, status: shownStatusOf(record, liveness), pid: liveness?.process?.pid, folder };
  }));
}
