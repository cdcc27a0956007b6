/**
 * `sauropod network`.
 *
 * @module
 */

import type { FolderOptions } from "../../lib/host/folders.ts";
import { createNetwork, inspectNetwork, listNetworks, pruneNetworks, removeNetwork } from "../../lib/network/manage.ts";
import { printJson, printOut, reportError, table } from "../output/output.ts";

/** The flags of `network create`. */
export interface CreateFlags extends FolderOptions {
  readonly subnet?: readonly string[];
  readonly gateway?: readonly string[];
  readonly mtu?: number;
  readonly internal?: boolean;
  readonly ipv6?: boolean;
}

/** Creates a network and prints its name. */
export async function create(flags: CreateFlags, name: string): Promise<void> {
  const { subnet, gateway, ...rest } = flags;
  await createNetwork(name, { ...rest, subnets: subnet, gateways: gateway });
  printOut(name + "\n");
}

/** Lists networks. */
export function ls(flags: FolderOptions & { json?: boolean; quiet?: boolean }): void {
  const networks = listNetworks(flags, reportError);
  if (flags.json) return printJson(networks);
  if (flags.quiet) return printOut(networks.map(({ name }) => name + "\n").join(""));
  const rows = networks.map(({ name, subnets, bridge, up, internal, containers }) => [
    name,
    subnets.map(({ subnet }) => subnet).join(", "),
    up ? bridge : `${bridge} (not set up)`,
    internal ? "yes" : "no",
    String(containers.length),
  ]);
  printOut(table(["NAME", "SUBNET", "BRIDGE", "INTERNAL", "CONTAINERS"], rows));
}

/** Prints networks as JSON. */
export function inspect(flags: FolderOptions, ...names: string[]): void {
  printJson(names.map((name) => inspectNetwork(name, flags)));
}

/** Removes networks and prints their names. */
export async function rm(flags: FolderOptions, ...names: string[]): Promise<void> {
  for (const name of names) {
    await removeNetwork(name, flags);
    printOut(name + "\n");
  }
}

/** Removes unused networks and prints their names. */
export async function prune(flags: FolderOptions): Promise<void> {
  const names = await pruneNetworks(flags, reportError);
  printOut(names.map((name) => name + "\n").join(""));
}
