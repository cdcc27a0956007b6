/**
 * `sauropod ps`: the list of containers.
 *
 * @module
 */

import { type ContainerRecord, statusOf } from "../lib/container/record.ts";
import { reclaim } from "../lib/container/leftovers.ts";
import { listContainers } from "../lib/container/store.ts";
import { findFolders } from "../lib/folders.ts";
import type { Context } from "./context.ts";
import type { FolderFlags } from "./flags.ts";
import { ago, print, printJson, table } from "./text.ts";

/** The flags of `ps`. */
export interface PsFlags extends FolderFlags {
  /** Also containers that have ended. */
  readonly all?: boolean;
  /** Ids only. */
  readonly quiet?: boolean;
  /** Print JSON. */
  readonly json?: boolean;
}

function state(record: ContainerRecord): string {
  const { ended } = record;
  if (!ended) return statusOf(record);
  const how = ended.lost ? "lost" : ended.oomKilled ? "out of memory" : `exited (${ended.code})`;
  return `${how} ${ago(ended.at)}`;
}

/** Lists containers. */
export function ps(this: Context, flags: PsFlags): void {
  const { containers } = findFolders(flags);
  reclaim(containers);
  const records = listContainers(containers).filter((record) => flags.all || statusOf(record) !== "exited");
  if (flags.json) return printJson(records.map((record) => ({ ...record, status: statusOf(record) })));
  if (flags.quiet) return print(records.map(({ id }) => id + "\n").join(""));
  const rows = records.map((record) => [
    record.id,
    record.image,
    record.command.join(" ").slice(0, 40),
    ago(record.created),
    state(record),
    record.name ?? "",
  ]);
  print(table(["ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "NAME"], rows));
}
