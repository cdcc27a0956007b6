/**
 * Which of the packet filter's rules a network needs and does not have.
 *
 * @module
 */

import { withNetlink } from "../../ffi/netlink.ts";
import { type Chain, type Family, findTable, listChains, listRules } from "../../ffi/nftables.ts";
import { lazy } from "../lazy.ts";
import { type Cidr, formatAddress, formatCidr } from "./address.ts";
import type { Network } from "./definition.ts";

// A change of the rules in rules.ts is a change of this number.
const VERSION = 2;

/** What the rules of a network must know. */
export interface RuledNetwork {
  /** The name of its bridge, and of its table. */
  readonly bridge: string;
  /** Its network: the first address, and the prefix. */
  readonly subnet: Cidr;
  /** The bridge's address. */
  readonly gateway: Uint8Array;
  /** Whether nothing outside can be reached. */
  readonly internal: boolean;
  /** A resolver on the host's loopback that the gateway's port 53 leads to. IPv4 only. */
  readonly resolver?: Uint8Array;
}

/** What a network lacks. */
export interface MissingRules {
  /** Its own tables. */
  readonly tables: readonly RuledNetwork[];
  /** Chains of others that drop what is forwarded: without rules of ours in them nothing gets through (Docker). */
  readonly chains: readonly Chain[];
}

/** The family of tables for an address. */
export function familyOf(address: Uint8Array): "ip" | "ip6" {
  return address.length === 4 ? "ip" : "ip6";
}

/** What the table of a network says of itself. Networks that need other rules say something else. */
export function rulesComment({ subnet, gateway, internal, resolver }: RuledNetwork): string {
  return [
    `sauropod ${VERSION} ${formatCidr(subnet)}`,
    `gateway=${formatAddress(gateway)}`,
    `internal=${internal}`,
    `resolver=${resolver ? formatAddress(resolver) : ""}`,
  ].join(" ");
}

/** The comment of the rules that let a network's packets pass through other tables. */
export function forwardComment(bridge: string): string {
  return `sauropod ${bridge}`;
}

/** The chains that drop the packets of networks because nothing in them says otherwise, as Docker's does. */
export function droppingChains(chains: readonly Chain[]): Chain[] {
  const families: readonly Family[] = ["ip", "ip6", "inet"];
  return chains.filter(({ family, base }) =>
    families.includes(family) && base?.type === "filter" && base.hook === "forward" && base.policy === "drop"
  );
}

/** What the rules of each of a network's subnets must know. */
export function ruledNetworks({ bridge, internal, subnets }: Network, resolver?: Uint8Array): RuledNetwork[] {
  return subnets.map(({ subnet, gateway }) => ({
    bridge,
    internal,
    subnet,
    gateway,
    // What is asked of a resolver leaves the host (CVE-2024-29018).
    ...(resolver && !internal && gateway.length === 4 ? { resolver } : {}),
  }));
}

function findMissing(fd: number, network: Network, resolver?: Uint8Array): MissingRules {
  const { bridge, internal } = network;
  const tables = ruledNetworks(network, resolver).filter((one) =>
    findTable(fd, familyOf(one.gateway), bridge)?.comment !== rulesComment(one)
  );
  const dropping = internal ? [] : droppingChains(listChains(fd));
  const chains = dropping.filter((chain) =>
    !listRules(fd, chain).some(({ comment }) => comment === forwardComment(bridge))
  );
  return { tables, chains };
}

/** Installs a network's rules where they are not installed. */
export async function installRules(network: Network, resolver?: Uint8Array): Promise<void> {
  const missing = withNetlink("NETFILTER", (fd) => findMissing(fd, network, resolver));
  if (missing.tables.length + missing.chains.length === 0) return;
  const { install } = await lazy.networkInstall();
  install(missing, network.bridge);
}
