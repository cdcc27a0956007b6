/**
 * The commands of `sauropod network` and their flags.
 *
 * @module
 */

import { buildCommand, buildRouteMap, type RouteMap } from "npm:@stricli/core@1.3.0";
import type { FolderOptions } from "../lib/folders.ts";
import type { Context } from "./context.ts";
import type { CreateFlags } from "./network.ts";
import { folderAliases, folderFlags, json, word, yes } from "./parameters.ts";

const mtu = (input: string): number => {
  if (/^\d+$/.test(input)) return Number(input);
  throw new Error(`${JSON.stringify(input)} is not a number of bytes`);
};

const networkNames = { kind: "array", minimum: 1, parameter: word("Name of a network", "NETWORK") } as const;

/** `sauropod network`. */
export const network: RouteMap<Context> = buildRouteMap({
  routes: {
    create: buildCommand<CreateFlags, [string], Context>({
      loader: async () => (await import("./network.ts")).create,
      parameters: {
        flags: {
          ...folderFlags,
          subnet: {
            kind: "parsed",
            optional: true,
            variadic: true,
            ...word("Its addresses: IPv4, and IPv6 too [default: a free one]", "CIDR"),
          },
          gateway: {
            kind: "parsed",
            optional: true,
            variadic: true,
            ...word("This machine's address on it [default: the first]", "ADDRESS"),
          },
          mtu: {
            kind: "parsed",
            optional: true,
            brief: "Largest packet [default: the uplink's]",
            placeholder: "BYTES",
            parse: mtu,
          },
          internal: yes("Lead nowhere but between its containers"),
          ipv6: yes("Give it IPv6 addresses too"),
        },
        aliases: folderAliases,
        positional: { kind: "tuple", parameters: [word("Name of the network", "NETWORK")] },
      },
      docs: {
        brief: "Make a network",
        fullDescription:
          "  sauropod network create backend\n  sauropod network create lab --subnet 10.99.0.0/24 --internal",
      },
    }),
    ls: buildCommand<FolderOptions & { json?: boolean; quiet?: boolean }, [], Context>({
      loader: async () => (await import("./network.ts")).ls,
      parameters: {
        flags: { ...folderFlags, json, quiet: yes("Names only") },
        aliases: { ...folderAliases, q: "quiet" },
      },
      docs: { brief: "List networks", fullDescription: "  sauropod network ls" },
    }),
    inspect: buildCommand<FolderOptions, [string, ...string[]], Context>({
      loader: async () => (await import("./network.ts")).inspect,
      parameters: { flags: folderFlags, aliases: folderAliases, positional: networkNames },
      docs: {
        brief: "Print what is known of networks and who is on them, as JSON",
        fullDescription: "  sauropod network inspect backend",
      },
    }),
    rm: buildCommand<FolderOptions, [string, ...string[]], Context>({
      loader: async () => (await import("./network.ts")).rm,
      parameters: { flags: folderFlags, aliases: folderAliases, positional: networkNames },
      docs: { brief: "Remove networks", fullDescription: "  sauropod network rm backend" },
    }),
    prune: buildCommand<FolderOptions, [], Context>({
      loader: async () => (await import("./network.ts")).prune,
      parameters: { flags: folderFlags, aliases: folderAliases },
      docs: { brief: "Remove all networks that no container uses", fullDescription: "  sauropod network prune" },
    }),
  },
  docs: {
    brief: "Make, list and remove networks",
    fullDescription: "  sauropod network create backend\n  sauropod run -d --network backend --name db alpine db",
  },
});
