/**
 * `sauropod ps`: list of containers.
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
  readonly all?: boolean;
  readonly quiet?: boolean;
  readonly filter?: readonly string[];
  readonly last?: number;
  readonly latest?: boolean;
  readonly noTrunc?: boolean;
  readonly format?: string;
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

/** Formats a command in one line, truncated unless `whole`. */
function formatCommand(command: readonly string[], whole: boolean): string {
  const line = printable(command.join(" ").replace(/\s+/g, " "));
  return line.length > WIDTH && !whole ? line.slice(0, WIDTH - 1) + "…" : line;
}

function formatPort({ hostAddress, hostPort, containerPort, protocol }: PublishedPort): string {
  const address = hostAddress.includes(":") ? `[${hostAddress}]` : hostAddress;
  return `${address}:${hostPort}->${containerPort}/${protocol}`;
}

/** Values of `--filter status=`. */
export const STATUSES: readonly ShownStatus[] = [
  "created",
  "running",
  "paused",
  "restarting",
  "exited",
  "elsewhere",
  "damaged",
];
/** Values of `--filter health=`. */
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

function formatPorts({ status, ports = [] }: ContainerInfo): string {
  return status === "exited" ? "" : ports.map(formatPort).join(", ");
}

/** Fields of `--format`, by docker's names. */
const FIELDS: Readonly<Record<string, (container: ContainerInfo, whole: boolean) => string>> = {
  ID: ({ id }) => id,
  Image: ({ image }) => image,
  Command: ({ command }, whole) => formatCommand(command, whole),
  CreatedAt: ({ created }) => created,
  RunningFor: ({ created }) => ago(created),
  Status: (container) => state(container, container.status),
  State: ({ status }) => status,
  Ports: formatPorts,
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

/** Omits the values of environment variables, which are often secrets; `inspect` shows them. */
function withoutValues({ options: { env, ...options }, ...container }: ContainerInfo): unknown {
  return { ...container, options: { ...options, ...(env ? { env: Object.keys(env) } : {}) } };
}

const TABLE = /^table\b\s*/;
const USUAL = Object.values(COLUMNS).map((name) => `{{.${name}}}`).join("\t");

/** Formats the list; after the word `table`, columns separated by tabs have headings. */
function formatted(listed: readonly ContainerInfo[], format: string, whole: boolean): string {
  const text = format.replace(TABLE, "") || USUAL;
  const write = parseTemplate(text, fieldOf(whole), `one of ${Object.keys(FIELDS).join(", ")}`);
  const lines = listed.map(write);
  if (!TABLE.test(format)) return lines.map((line) => line + "\n").join("");
  const headings = parseTemplate(text, (_: null, path) => path.at(-1)?.toUpperCase(), "")(null);
  const cells = (line: string): string[] => line.split("\t");
  return table(cells(headings), lines.map(cells));
}

/** Applies `--last` and `--latest`. */
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
  // Filtering by status or exit code, or limiting to the last N, implies --all (as in docker).
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
