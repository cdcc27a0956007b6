/**
 * `sauropod network`: making, listing and removing networks.
 *
 * @module
 */

import type { FolderOptions } from "../lib/folders.ts";
import { createNetwork, inspectNetwork, listNetworks, pruneNetworks, removeNetwork } from "../lib/network/manage.ts";
import type { Context } from "./context.ts";
import { formatError, print, printJson, say, table } from "./text.ts";

/** The flags of `network create`. */
export interface CreateFlags extends FolderOptions {
  /** Subnets. */
  readonly subnet?: readonly string[];
  /** The host's addresses in them. */
  readonly gateway?: readonly string[];
  /** The largest packet in bytes. */
  readonly mtu?: number;
  /** Whether it leads nowhere. */
  readonly internal?: boolean;
  /** Whether it has IPv6. */
  readonly ipv6?: boolean;
}

/** Makes a network and prints its name. */
export async function create(this: Context, flags: CreateFlags, name: string): Promise<void> {
  const { subnet, gateway, ...rest } = flags;
  await createNetwork(name, { ...rest, subnets: subnet, gateways: gateway });
  print(name + "\n");
}

/** Lists networks. */
export function ls(this: Context, flags: FolderOptions & { json?: boolean; quiet?: boolean }): void {
  const networks = listNetworks(flags, (error) => say(formatError(error)));
  if (flags.json) return printJson(networks);
  if (flags.quiet) return print(networks.map(({ name }) => name + "\n").join(""));
  const rows = networks.map(({ name, subnets, bridge, up, internal, containers }) => [
    name,
    subnets.map(({ subnet }) => subnet).join(", "),
    up ? bridge : `${bridge} (not set up)`,
    internal ? "yes" : "no",
    String(containers.length),
  ]);
  print(table(["NAME", "SUBNET", "BRIDGE", "INTERNAL", "CONTAINERS"], rows));
}

/** Prints what is known of networks. */
export function inspect(this: Context, flags: FolderOptions, ...names: string[]): void {
  printJson(names.map((name) => inspectNetwork(name, flags)));
}

/** Removes networks and prints their names. */
export async function rm(this: Context, flags: FolderOptions, ...names: string[]): Promise<void> {
  for (const name of names) {
    await removeNetwork(name, flags);
    print(name + "\n");
  }
}

/** Removes all that no container uses and prints their names. */
export async function prune(this: Context, flags: FolderOptions): Promise<void> {
  const names = await pruneNetworks(flags, (error) => say(formatError(error)));
  print(names.map((name) => name + "\n").join(""));
}
