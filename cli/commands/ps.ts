/**
 * `sauropod ps`: the list of containers.
 *
 * @module
 */

import { reclaim } from "../../lib/container/state/reclaim.ts";
import { type ContainerInfo, listAll } from "../../lib/container/state/list.ts";
import type { ShownStatus } from "../../lib/container/state/freeze.ts";
import { describeElsewhere } from "../../lib/container/state/errors.ts";
import { type Filters, parseFilters, type Test } from "../../lib/text/filters.ts";
import { findFolders, type FolderOptions } from "../../lib/host/folders.ts";
import { printable } from "../../lib/text/printable.ts";
import type { PublishedPort } from "../../lib/network/ports.ts";
import { type Lookup, parseTemplate } from "../output/template.ts";
import { ago, printJson, printOut, span, table } from "../output/output.ts";

/** The flags of `ps`. */
export interface PsFlags extends FolderOptions {
  /** Also containers that have ended. */
  readonly all?: boolean;
  /** Ids only. */
  readonly quiet?: boolean;
  /** `KEY=VALUE`: only those that are so. */
  readonly filter?: readonly string[];
  /** Only so many, those that were made last. */
  readonly last?: number;
  /** Only the one that was made last. */
  readonly latest?: boolean;
  /** Commands whole. */
  readonly noTrunc?: boolean;
  /** What to write of each. */
  readonly format?: string;
  /** Print JSON. */
  readonly json?: boolean;
}

function state({ ended, state, detached, elsewhere }: ContainerInfo, status: ShownStatus): string {
  if (ended) {
    const how = ended.lost ? "lost" : ended.oomKilled ? "out of memory" : `exited (${ended.code})`;
    return `${how} ${ago(ended.at)}`;
  }
  if (elsewhere) return `held ${describeElsewhere(elsewhere)}`;
  const health = state?.health ? ` (${state.health})` : "";
  const since = detached && state?.startedAt && status === "running" ? ` for ${span(state.startedAt)}` : "";
  return `${status}${since}${health}`;
}

const WIDTH = 40;

/** A command in one line, short unless `whole`. */
function shown(command: readonly string[], whole: boolean): string {
  const line = printable(command.join(" ").replace(/\s+/g, " "));
  return line.length > WIDTH && !whole ? line.slice(0, WIDTH - 1) + "…" : line;
}

function formatPort({ hostAddress, hostPort, containerPort, protocol }: PublishedPort): string {
  const address = hostAddress.includes(":") ? `[${hostAddress}]` : hostAddress;
  return `${address}:${hostPort}->${containerPort}/${protocol}`;
}

/** What a container can be doing. */
export const STATUSES: readonly ShownStatus[] = [
  "created",
  "running",
  "paused",
  "restarting",
  "exited",
  "elsewhere",
  "damaged",
];
/** How a container can be. */
export const HEALTH: readonly string[] = ["starting", "healthy", "unhealthy", "none"];

const ofImage: Test<ContainerInfo> = ({ image }, value) => image === value || image.replace(/[:@][^/]*$/, "") === value;

function hasLabel({ options: { labels = {} } }: ContainerInfo, wanted: string): boolean {
  const [name = "", value] = wanted.split(/=(.*)/s);
  return Object.hasOwn(labels, name) && (value === undefined || labels[name] === value);
}

const FILTERS: Filters<ContainerInfo> = {
  id: ({ id }, value) => value !== "" && id.startsWith(value),
  name: ({ name }, value) => name !== undefined && name.includes(value),
  label: { test: hasLabel, every: true },
  status: { test: ({ status }, value) => status === value, values: STATUSES },
  image: ofImage,
  ancestor: ofImage,
  network: ({ networks }, value) => networks?.some(({ network }) => network === value) ?? false,
  health: { test: ({ state }, value) => (state?.health ?? "none") === value, values: HEALTH },
  exited: ({ ended }, value) => ended !== undefined && String(ended.code) === value,
};

function shownPorts({ status, ports = [] }: ContainerInfo): string {
  return status === "exited" ? "" : ports.map(formatPort).join(", ");
}

/** Docker's names of what is in the list. */
const FIELDS: Readonly<Record<string, (container: ContainerInfo, whole: boolean) => string>> = {
  ID: ({ id }) => id,
  Image: ({ image }) => image,
  Command: ({ command }, whole) => shown(command, whole),
  CreatedAt: ({ created }) => created,
  RunningFor: ({ created }) => ago(created),
  Status: (container) => state(container, container.status),
  State: ({ status }) => status,
  Ports: shownPorts,
  Names: ({ name = "" }) => name,
  Networks: ({ networks = [] }) => networks.map(({ network }) => network).join(","),
  Labels: ({ options: { labels = {} } }) => Object.entries(labels).map(([name, value]) => `${name}=${value}`).join(","),
};

const COLUMNS = {
  ID: "ID",
  IMAGE: "Image",
  COMMAND: "Command",
  CREATED: "RunningFor",
  STATUS: "Status",
  PORTS: "Ports",
  NAME: "Names",
};

function fieldOf(whole: boolean): Lookup<ContainerInfo> {
  return (container, [name = "", ...rest]) => {
    if (name === "") return withoutValues(container);
    if (name === "Label") return container.options.labels?.[rest.join(".")] ?? "";
    return rest.length === 0 && Object.hasOwn(FIELDS, name) ? FIELDS[name]?.(container, whole) : undefined;
  };
}

/** Without the values of environment variables, which are often secrets: `inspect` shows them. */
function withoutValues({ options: { env, ...options }, ...container }: ContainerInfo): unknown {
  return { ...container, options: { ...options, ...(env ? { env: Object.keys(env) } : {}) } };
}

const TABLE = /^table\b\s*/;
const USUAL = Object.values(COLUMNS).map((name) => `{{.${name}}}`).join("\t");

/** The list as `format` says; after the word `table` its columns, which tabs end, have headings. */
function formatted(listed: readonly ContainerInfo[], format: string, whole: boolean): string {
  const text = format.replace(TABLE, "") || USUAL;
  const write = parseTemplate(text, fieldOf(whole), `one of ${Object.keys(FIELDS).join(", ")}`);
  const lines = listed.map(write);
  if (!TABLE.test(format)) return lines.map((line) => line + "\n").join("");
  const headings = parseTemplate(text, (_: null, path) => path.at(-1)?.toUpperCase(), "")(null);
  const cells = (line: string): string[] => line.split("\t");
  return table(cells(headings), lines.map(cells));
}

/** The last containers that were made, if only so many are wanted. */
function lastOf(listed: readonly ContainerInfo[], { last, latest }: PsFlags): readonly ContainerInfo[] {
  const count = latest ? 1 : last ?? -1;
  return count < 0 ? listed : listed.slice(Math.max(0, listed.length - count));
}

/** Lists containers. */
export async function ps(flags: PsFlags): Promise<void> {
  const { filter = [], noTrunc = false, format } = flags;
  const isWanted = parseFilters(FILTERS, filter, "containers");
  const { containers } = findFolders(flags);
  await reclaim(containers);
  // Who asks for a status, for an exit code or for the last ones, means all.
  const all = flags.all || flags.latest || (flags.last ?? -1) >= 0 ||
    filter.some((text) => /^(status|exited)=/.test(text));
  const listed = lastOf(listAll(containers).filter((one) => (all || one.status !== "exited") && isWanted(one)), flags);
  if (flags.json) return printJson(listed.map(withoutValues));
  if (flags.quiet) return printOut(listed.map(({ id }) => id + "\n").join(""));
  if (format !== undefined) return printOut(formatted(listed, format, noTrunc));
  const columns = Object.values(COLUMNS);
  printOut(
    table(
      Object.keys(COLUMNS),
      listed.map((container) => columns.map((name) => FIELDS[name]?.(container, noTrunc) ?? "")),
    ),
  );
}
