/**
 * Anti-spoofing: binds each bridge port to one MAC address and its IP addresses. Packets from other sources are dropped
 * before the bridge sees and learns from them.
 *
 * Both addresses follow from the port's name, so the sets hold whole blocks of addresses, leased or not: no element
 * belongs to a container, and most containers require no change of them.
 *
 * @module
 */

import { type Message, NetlinkError, request, withNetlink } from "../../ffi/netlink/netlink.ts";
import { elementKey, findTable, interfaceName } from "../../ffi/netlink/nftables.ts";
import { batch, deleteTable, newChain, newRule, newTable } from "../../ffi/netlink/nftables_changes.ts";
import { accept, drop, type RulePart, saddr } from "../../ffi/netlink/nftables_expressions.ts";
import { etherType, icmpv6Type, portIn, senderIn } from "../../ffi/netlink/nftables_frames.ts";
import { addElements, type Element, newSet } from "../../ffi/netlink/nftables_sets.ts";
import { learnLess, listLinks } from "../../ffi/netlink/rtnetlink.ts";
import { NetworkError } from "../errors.ts";
import { addressAt, contains, formatAddress, offsetIn } from "../text/address.ts";
import type { Bridge } from "./bridge.ts";
import type { Network } from "./definition.ts";
import { senderSet } from "./filter.ts";
import { addressOfHostEnd, allAddresses, hostEnd, macOf } from "./leases.ts";

const FAMILY = "bridge";
const PORTS = "ports", SENDERS_6 = "senders6";
const UNSPECIFIED = new Uint8Array(16);
// Before br_netfilter(8) and other filters.
const PRIORITY = -300;
// How many addresses are put into the sets at once.
const BLOCK = 64;

function hasIpv6({ subnets }: Network): boolean {
  return subnets.length > 1;
}

/** Returns the batch that replaces the rules for packets from a bridge's ports. */
export function guardRules(network: Network): Message[] {
  const table = network.bridge, senders = senderSet(table).set, chain = "prerouting";
  const place = { family: FAMILY, table } as const;
  const six: RulePart[][] = [
    ...(["nd-router-advert", "nd-redirect"] as const).map((type) => [etherType("ip6"), icmpv6Type(type), drop]),
    // ARP replies and probes must come from the owner of the address.
    [
      etherType("ip6"),
      icmpv6Type("nd-neighbor-advert"),
      senderIn(SENDERS_6, "sender", "neighbour", true),
      drop,
    ],
    [
      etherType("ip6"),
      icmpv6Type("nd-neighbor-solicit"),
      saddr(UNSPECIFIED, 128),
      senderIn(SENDERS_6, "sender", "neighbour", true),
      drop,
    ],
    [etherType("ip6"), senderIn(SENDERS_6, "sender", "ip6"), accept],
  ];
  const arriving: RulePart[][] = [
    [portIn(PORTS, true), accept],
    [etherType("ip"), senderIn(senders, "sender", "ip"), accept],
    [etherType("arp"), senderIn(senders, "sender", "arp"), senderIn(senders, "arpSender", "arp"), accept],
    ...(hasIpv6(network) ? six : []),
    [drop],
  ];
  return [
    newTable({ family: FAMILY, name: table }),
    deleteTable(FAMILY, table),
    newTable({ family: FAMILY, name: table, comment: `sauropod ${senders}` }),
    newSet({ ...place, set: PORTS }, ["ifname"]),
    newSet({ ...place, set: senders }, ["ifname", "ether_addr", "ipv4_addr"]),
    ...(hasIpv6(network) ? [newSet({ ...place, set: SENDERS_6 }, ["ifname", "ether_addr", "ipv6_addr"])] : []),
    newChain({ ...place, chain, hook: { type: "filter", hook: chain, priority: PRIORITY } }),
    ...arriving.map((parts) => newRule({ ...place, chain, parts })),
  ];
}

/** Returns the link-local address that the kernel makes of a hardware address (RFC 4291, appendix A). */
export function linkLocal([first = 0, ...rest]: Uint8Array): Uint8Array {
  return Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, first ^ 2, ...rest.slice(0, 2), 0xff, 0xfe, ...rest.slice(2));
}

function sender(port: string, mac: Uint8Array, address: Uint8Array): Element {
  return {
    key: elementKey(interfaceName(port), mac, address),
    text: `"${port}" . ${mac.toHex().replace(/(..)(?=.)/g, "$1:")} . ${formatAddress(address)}`,
  };
}

interface Member {
  readonly address: Uint8Array;
  readonly port: string;
  readonly mac: Uint8Array;
}

/** Returns the permitted IPv6 source addresses: the container's own, and the unspecified one for address detection. */
function sixOf(bridge: Bridge, { address, mac }: Member): Uint8Array[] {
  const [, ...others] = bridge.network.subnets;
  const own = allAddresses(bridge, address).slice(1).filter((one, i) => {
    const other = others[i];
    return other && contains(other.subnet, one);
  });
  return [...own, linkLocal(mac), UNSPECIFIED];
}

/** Permits these IPv4 addresses of a network, and the MAC and IPv6 addresses that belong to them, as sources. */
export function guardElements(bridge: Bridge, addresses: readonly Uint8Array[]): Message[] {
  const { network } = bridge, table = network.bridge;
  const members = addresses.map((address): Member => ({ address, port: hostEnd(address), mac: macOf(address) }));
  const elements = (set: string, of: (member: Member) => Element[]): Message =>
    addElements({ family: FAMILY, table, set }, members.flatMap(of));
  return [
    elements(PORTS, ({ port }) => [{ key: interfaceName(port), text: `"${port}"` }]),
    elements(senderSet(table).set, ({ address, port, mac }) => [sender(port, mac, address)]),
    ...(hasIpv6(network)
      ? [elements(SENDERS_6, (member) => sixOf(bridge, member).map((one) => sender(member.port, member.mac, one)))]
      : []),
  ];
}

/** Returns the addresses of a network that are put into its sets together with `address`. */
function blockOf({ subnets: [{ subnet }] }: Network, address: Uint8Array): Uint8Array[] {
  const first = offsetIn(subnet, address) / BigInt(BLOCK) * BigInt(BLOCK);
  const block = Array.from({ length: BLOCK }, (_, i) => addressAt(subnet, first + BigInt(i)));
  return block.filter((one) => contains(subnet, one));
}

/** Removes the guard of a bridge from an older version; returns the addresses of its ports. */
function prepare({ network, index }: Bridge): Uint8Array[] {
  const [{ subnet }] = network.subnets;
  const links = withNetlink("ROUTE", (fd) => {
    request(fd, [learnLess(network.bridge)]);
    return listLinks(fd, index);
  });
  return links.flatMap(({ name }) => addressOfHostEnd(name) ?? []).filter((address) => contains(subnet, address));
}

/**
 * Permits an IPv4 address of a network as the only source of its port. Default: one of the network's first addresses.
 *
 * @throws {NetworkError} `bridge-failed`.
 */
export function guard(bridge: Bridge, address?: Uint8Array): void {
  const { network } = bridge, [{ subnet }] = network.subnets;
  const block = blockOf(network, address ?? subnet.address);
  try {
    withNetlink("NETFILTER", (fd) => {
      const isThere = findTable(fd, FAMILY, network.bridge)?.comment === `sauropod ${senderSet(network.bridge).set}`;
      const rules = isThere ? [] : guardRules(network);
      const addresses = isThere ? block : [...prepare(bridge), ...block];
      request(fd, batch([...rules, ...guardElements(bridge, addresses)]));
    });
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    throw new NetworkError(`cannot guard network ${network.name}: ${error.message}`, {
      code: "bridge-failed",
      facts: { network: network.name, errno: error.code },
      hint: "enable nf_tables for bridges (CONFIG_NF_TABLES_BRIDGE), or use --network none or --network host",
      cause: error,
    });
  }
}
