/**
 * `sauropod inspect`: records of containers.
 *
 * @module
 */

import { type ContainerInfo, inspectOne } from "../../lib/container/state/list.ts";
import { findFolders, type FolderOptions } from "../../lib/host/folders.ts";
import { parseTemplate } from "../output/template.ts";
import { printJson, printOut } from "../output/output.ts";

/** The flags of `inspect`. */
export interface InspectFlags extends FolderOptions {
  readonly format?: string;
}

/** Fields that scripts read most, by docker's names. */
const DOCKER: Readonly<Record<string, (container: ContainerInfo) => unknown>> = {
  "Id": ({ id }) => id,
  "Name": ({ name = "" }) => name,
  "Image": ({ image }) => image,
  "Created": ({ created }) => created,
  "State.Status": ({ status }) => status,
  "State.Running": ({ status }) => status === "running" || status === "paused",
  "State.Paused": ({ status }) => status === "paused",
  "State.Restarting": ({ status }) => status === "restarting",
  "State.Pid": ({ pid = 0 }) => pid,
  "State.ExitCode": ({ ended }) => ended?.code ?? 0,
  "State.OOMKilled": ({ ended }) => ended?.oomKilled ?? false,
  "State.StartedAt": ({ state }) => state?.startedAt ?? "",
  "State.FinishedAt": ({ ended }) => ended?.at ?? "",
  "State.Health.Status": ({ state }) => state?.health ?? "none",
  "Config.Cmd": ({ command }) => command,
  "Config.Labels": ({ options }) => options.labels ?? {},
  "NetworkSettings.IPAddress": ({ networks }) => networks?.[0]?.addresses[0]?.split("/")[0] ?? "",
};

/** Optional fields of a container. */
const OPTIONAL = /^(name|imageDigest|layers|line|pid|ended|networks|ports|state|detached)$/;

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

function descend(value: unknown, path: readonly string[]): unknown {
  return path.reduce((at, part) => isObject(at) && Object.hasOwn(at, part) ? at[part] : undefined, value);
}

/** Returns the field at `path`, else docker's field of that name; null if it is optional and missing. */
function lookup(container: ContainerInfo, path: readonly string[]): unknown {
  const value = descend(container, path);
  if (value !== undefined) return value;
  if (OPTIONAL.test(path[0] ?? "")) return null;
  for (let end = path.length; end > 0; end--) {
    const name = path.slice(0, end).join(".");
    if (Object.hasOwn(DOCKER, name)) return descend(DOCKER[name]?.(container), path.slice(end)) ?? null;
  }
}

/** Prints containers as JSON, or formatted. */
export function inspect(flags: InspectFlags, ...queries: string[]): void {
  const { containers } = findFolders(flags);
  const known = `a field of the JSON, such as .options.env, or one of ${Object.keys(DOCKER).join(", ")}`;
  const write = flags.format === undefined ? undefined : parseTemplate(flags.format, lookup, known);
  const found = queries.map((query) => inspectOne(containers, query));
  if (write) printOut(found.map((container) => write(container) + "\n").join(""));
  else printJson(found);
}
