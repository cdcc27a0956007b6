/**
 * `sauropod ps`: the list of containers.
 *
 * @module
 */

import { reclaim } from "../lib/container/leftovers.ts";
import { type ContainerInfo, listAll } from "../lib/container/list.ts";
import type { ShownStatus } from "../lib/container/pause.ts";
import { type Filters, parseFilters } from "../lib/filters.ts";
import { findFolders, type FolderOptions } from "../lib/folders.ts";
import type { PublishedPort } from "../lib/network/ports.ts";
import type { Context } from "./context.ts";
import { ago, print, printJson, span, table } from "./text.ts";

/** The flags of `ps`. */
export interface PsFlags extends FolderOptions {
  /** Also containers that have ended. */
  readonly all?: boolean;
  /** Ids only. */
  readonly quiet?: boolean;
  /** `KEY=VALUE`: only those that are so. */
  readonly filter?: readonly string[];
  /** Print JSON. */
  readonly json?: boolean;
}

function state({ ended, state, detached }: ContainerInfo, status: ShownStatus): string {
  if (ended) {
    const how = ended.lost ? "lost" : ended.oomKilled ? "out of memory" : `exited (${ended.code})`;
    return `${how} ${ago(ended.at)}`;
  }
  const health = state?.health ? ` (${state.health})` : "";
  const since = detached && state?.startedAt && status === "running" ? ` for ${span(state.startedAt)}` : "";
  return `${status}${since}${health}`;
}

const WIDTH = 40;

/** A command in one short line that moves no cursor. */
function shown(command: readonly string[]): string {
  const line = command.join(" ").replace(/\s+/g, " ").replace(/\p{Cc}/gu, "?");
  return line.length > WIDTH ? line.slice(0, WIDTH - 1) + "…" : line;
}

function formatPort({ hostAddress, hostPort, containerPort, protocol }: PublishedPort): string {
  const address = hostAddress.includes(":") ? `[${hostAddress}]` : hostAddress;
  return `${address}:${hostPort}->${containerPort}/${protocol}`;
}

const FILTERS: Filters<ContainerInfo> = {
  id: ({ id }, value) => value !== "" && id.startsWith(value),
  name: ({ name }, value) => name !== undefined && name.includes(value),
  status: ({ status }, value) => status === value,
  image: ({ image }, value) => image === value || image.replace(/[:@][^/]*$/, "") === value,
  network: ({ networks }, value) => networks?.some(({ network }) => network === value) ?? false,
  health: ({ state }, value) => (state?.health ?? "none") === value,
  exited: ({ ended }, value) => ended !== undefined && String(ended.code) === value,
};

/** Lists containers. */
export async function ps(this: Context, flags: PsFlags): Promise<void> {
  const isWanted = parseFilters(FILTERS, flags.filter ?? [], "containers");
  const { containers } = findFolders(flags);
  await reclaim(containers);
  // Who asks for a status, or for an exit code, means all.
  const all = flags.all || flags.filter?.some((filter) => /^(status|exited)=/.test(filter));
  const listed = listAll(containers).filter((one) => (all || one.status !== "exited") && isWanted(one));
  if (flags.json) return printJson(listed);
  if (flags.quiet) return print(listed.map(({ id }) => id + "\n").join(""));
  const rows = listed.map((container) => [
    container.id,
    container.image,
    shown(container.command),
    ago(container.created),
    state(container, container.status),
    container.status === "exited" ? "" : (container.ports ?? []).map(formatPort).join(", "),
    container.name ?? "",
  ]);
  print(table(["ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAME"], rows));
}
