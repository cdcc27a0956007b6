/**
 * Packet filter check: finds the nftables rules that a network needs and lacks.
 *
 * @module
 */

import { withNetlink } from "../../ffi/netlink/netlink.ts";
import {
  type Chain,
  elementKey,
  type Family,
  findTable,
  hasElement,
  interfaceName,
  listChains,
  listRules,
  type Rule,
  type SetPlace,
} from "../../ffi/netlink/nftables.ts";
import { readSmallFile } from "../../ffi/fs/paths.ts";
import { lazy } from "../lazy.ts";
import { type Cidr, formatAddress, formatCidr } from "../text/address.ts";
import type { Network } from "./definition.ts";

// A change of the rules in rules.ts is a change of this number.
const VERSION = 3;

/** Parameters of a network's rules. */
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
  /** The name of the host's interface that leads outside; empty if none does. */
  readonly uplink: string;
}

/** A chain of other software, and the network's rules that are not in their place in it. */
export interface AcceptingChain extends Chain {
  /** Those rules. */
  readonly misplaced: readonly Rule[];
}

/** Missing rules of a network. */
export interface MissingRules {
  /** Its own tables. */
  readonly tables: readonly RuledNetwork[];
  /** Chains of other software that drop forwarded packets: nothing passes without an accept rule in them (Docker). */
  readonly chains: readonly AcceptingChain[];
}

/** Returns the family of tables for an address. */
export function familyOf(address: Uint8Array): "ip" | "ip6" {
  return address.length === 4 ? "ip" : "ip6";
}

/** Fingerprint in the comment of a network's table. Networks that need other rules have another one. */
export function rulesComment({ subnet, gateway, internal, resolver, uplink }: RuledNetwork): string {
  return [
    `sauropod ${VERSION} ${formatCidr(subnet)}`,
    `gateway=${formatAddress(gateway)}`,
    `internal=${internal}`,
    `resolver=${resolver ? formatAddress(resolver) : ""}`,
    `uplink=${uplink}`,
  ].join(" ");
}

/** Returns the comment of the rules that let a network's packets pass through other tables. */
export function forwardComment(bridge: string): string {
  return `sauropod ${bridge}`;
}

/** Returns the interface of the best default route in the text of `/proc/net/route`; empty if there is none. */
export function uplinkIn(routes: string): string {
  const rows = routes.split("\n").map((line) => line.split("\t"));
  const [best] = rows.filter(([, destination, , , , , , mask]) => destination === "00000000" && mask === destination)
    .sort((a, b) => Number(a[6]) - Number(b[6]));
  return best?.[0] ?? "";
}

/** Returns the chains that drop packets of these families because nothing in them says otherwise, as Docker's does. */
export function droppingChains(chains: readonly Chain[], of: readonly ("ip" | "ip6")[]): Chain[] {
  const families: readonly Family[] = [...of, "inet"];
  return chains.filter(({ family, base }) =>
    families.includes(family) && base?.type === "filter" && base.hook === "forward" && base.policy === "drop"
  );
}

/** Returns the parameters of the rules of each subnet. */
export function ruledNetworks({ bridge, internal, subnets }: Network, resolver?: Uint8Array): RuledNetwork[] {
  const uplink = internal ? "" : uplinkIn(readSmallFile("/proc/net/route") ?? "");
  return subnets.map(({ subnet, gateway }) => ({
    bridge,
    internal,
    uplink,
    subnet,
    gateway,
    // Queries to a resolver leave the host (CVE-2024-29018).
    ...(resolver && !internal && gateway.length === 4 ? { resolver } : {}),
  }));
}

/** Checks that a network's rules are last in a chain, among those of other networks; returns their handles if not. */
export function findAccepting(
  rules: readonly Rule[],
  bridge: string,
): { readonly placed: boolean; readonly misplaced: readonly Rule[] } {
  const last = rules.findLastIndex(({ comment }) => !comment.startsWith(forwardComment("")));
  const isOwn = ({ comment }: Rule): boolean => comment === forwardComment(bridge);
  const placed = rules.slice(last + 1).some(isOwn) && !rules.slice(0, last + 1).some(isOwn);
  return { placed, misplaced: placed ? [] : rules.filter(isOwn) };
}

function findMissing(fd: number, network: Network, resolver?: Uint8Array): MissingRules {
  const { bridge, internal, subnets } = network;
  const tables = ruledNetworks(network, resolver).filter((one) =>
    findTable(fd, familyOf(one.gateway), bridge)?.comment !== rulesComment(one)
  );
  const families = subnets.map(({ gateway }) => familyOf(gateway));
  const dropping = internal ? [] : droppingChains(listChains(fd), families);
  const chains = dropping.flatMap((chain): AcceptingChain[] => {
    const { placed, misplaced } = findAccepting(listRules(fd, chain), bridge);
    return placed ? [] : [{ ...chain, misplaced }];
  });
  return { tables, chains };
}

/** Installs a network's rules where they are not installed. */
export async function installRules(network: Network, resolver?: Uint8Array): Promise<void> {
  const missing = withNetlink("NETFILTER", (fd) => findMissing(fd, network, resolver));
  if (missing.tables.length + missing.chains.length === 0) return;
  const { install } = await lazy.networkInstall();
  install(missing, network.bridge);
}

/**
 * Returns the name of the set of permitted senders of a bridge. It changes with every change of the rules in guard.ts.
 */
export function senderSet(bridge: string): SetPlace {
  return { family: "bridge", table: bridge, set: "senders1" };
}

/** Reports whether a port of a bridge may send under a hardware and an IPv4 address. */
export function maySend(fd: number, bridge: string, port: string, mac: Uint8Array, address: Uint8Array): boolean {
  return hasElement(fd, senderSet(bridge), elementKey(interfaceName(port), mac, address));
}
