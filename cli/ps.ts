/**
 * `sauropod ps`: the list of containers.
 *
 * @module
 */

import type { ContainerRecord } from "../lib/container/record.ts";
import { reclaim } from "../lib/container/leftovers.ts";
import { listContainers } from "../lib/container/names.ts";
import { type ShownStatus, shownStatusOf } from "../lib/container/pause.ts";
import { livenessOf } from "../lib/container/store.ts";
import { findFolders, type FolderOptions } from "../lib/folders.ts";
import type { PublishedPort } from "../lib/network/ports.ts";
import type { Context } from "./context.ts";
import { ago, print, printJson, table } from "./text.ts";

/** The flags of `ps`. */
export interface PsFlags extends FolderOptions {
  /** Also containers that have ended. */
  readonly all?: boolean;
  /** Ids only. */
  readonly quiet?: boolean;
  /** Print JSON. */
  readonly json?: boolean;
}

function state({ ended }: ContainerRecord, status: ShownStatus): string {
  if (!ended) return status;
  const how = ended.lost ? "lost" : ended.oomKilled ? "out of memory" : `exited (${ended.code})`;
  return `${how} ${ago(ended.at)}`;
}

function formatPort({ hostAddress, hostPort, containerPort, protocol }: PublishedPort): string {
  const address = hostAddress.includes(":") ? `[${hostAddress}]` : hostAddress;
  return `${address}:${hostPort}->${containerPort}/${protocol}`;
}

/** Lists containers. */
export async function ps(this: Context, flags: PsFlags): Promise<void> {
  const { containers } = findFolders(flags);
  await reclaim(containers);
  const all = listContainers(containers).map((record) => {
    const liveness = livenessOf(containers, record.id);
    return { ...record, status: shownStatusOf(record, liveness), pid: liveness?.process?.pid };
  });
  const listed = all.filter(({ status }) => flags.all || status !== "exited");
  if (flags.json) return printJson(listed);
  if (flags.quiet) return print(listed.map(({ id }) => id + "\n").join(""));
  const rows = listed.map((record) => [
    record.id,
    record.image,
    record.command.join(" ").slice(0, 40),
    ago(record.created),
    state(record, record.status),
    record.status === "exited" ? "" : (record.ports ?? []).map(formatPort).join(", "),
    record.name ?? "",
  ]);
  print(table(["ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAME"], rows));
}
