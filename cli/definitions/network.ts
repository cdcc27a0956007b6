/**
 * The commands of `sauropod network`.
 *
 * @module
 */

import type { FolderOptions } from "../../lib/host/folders.ts";
import { command, type CommandGroup, type Word } from "../args/command.ts";
import { many, one, yes } from "../args/flag_schema.ts";
import type { CreateFlags } from "../commands/network.ts";
import { folderFlags, json } from "../args/shared_flags.ts";

const loadActions = () => import("../commands/network.ts");
const NETWORK: Word = { name: "NETWORK", brief: "Name of the network" };
const NETWORKS: Word = { ...NETWORK, repeated: true };

function bytes(text: string): number {
  if (/^\d+$/.test(text)) return Number(text);
  throw new Error("expected a number of bytes");
}

const create = command<CreateFlags>({
  brief: "Create a network",
  description: "  sauropod network create backend\n  sauropod network create lab --subnet 10.99.0.0/24 --internal",
  flags: {
    ...folderFlags,
    subnet: many("CIDR", "Subnet, IPv4 or IPv6 [default: a free one]"),
    gateway: many("ADDRESS", "Address of this machine on it [default: the first]"),
    mtu: one("BYTES", "Largest packet [default: the uplink's]", bytes),
    internal: yes("Connect its containers only to each other"),
    ipv6: yes("Give it IPv6 addresses, too"),
  },
  words: [NETWORK],
  load: async () => (await loadActions()).create,
});

const ls = command<FolderOptions & { json?: boolean; quiet?: boolean }>({
  brief: "List networks",
  description: "  sauropod network ls",
  flags: { ...folderFlags, json, quiet: yes("Print names only") },
  short: { q: "quiet" },
  load: async () => (await loadActions()).ls,
});

const inspect = command<FolderOptions>({
  brief: "Print networks and their containers as JSON",
  description: "  sauropod network inspect backend",
  flags: folderFlags,
  words: [NETWORKS],
  load: async () => (await loadActions()).inspect,
});

const rm = command<FolderOptions>({
  brief: "Remove networks",
  description: "  sauropod network rm backend",
  flags: folderFlags,
  words: [NETWORKS],
  load: async () => (await loadActions()).rm,
});

const prune = command<FolderOptions>({
  brief: "Remove unused networks",
  description: "  sauropod network prune",
  flags: folderFlags,
  load: async () => (await loadActions()).prune,
});

/** `sauropod network`. */
export const network: CommandGroup = {
  brief: "Create, list and remove networks",
  description: "  sauropod network create backend\n  sauropod run -d --network backend --name db alpine sleep inf",
  commands: { create, ls, inspect, rm, prune },
};
