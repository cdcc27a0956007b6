/**
 * Matches of nf_tables for frames of a bridge: senders, ARP (RFC 826) and IPv6 neighbour discovery (RFC 4861).
 *
 * @module
 */

import { type Attribute, be16, be32, text, u8 } from "./messages.ts";
import { BASE, compare, expression, meta, META_KEY, payload, REGISTER, type RulePart } from "./nftables_expressions.ts";

const ETHER = { saddr: 6, type: 12, length: 6 } as const;
const ETHER_TYPE = { ip: 0x0800, arp: 0x0806, ip6: 0x86dd } as const;
const ARP_SENDER_MAC = 8, ARP_SENDER_IP = 14;
const ND_TARGET = 8;
const ICMPV6 = 58;
const ICMPV6_TYPE = {
  "nd-router-advert": 134,
  "nd-neighbor-solicit": 135,
  "nd-neighbor-advert": 136,
  "nd-redirect": 137,
} as const;
const LOOKUP = { SET: 1, REGISTER: 2, FLAGS: 5, INVERTED: 1 } as const;

// The interface name takes the first 16 bytes of the registers, a hardware address the next 8.
const REGISTER_MAC = 2, REGISTER_ADDRESS = 14;

/** An address in a frame: its name in nft(8) and its position. */
interface Claim {
  readonly text: string;
  readonly base: number;
  readonly offset: number;
  readonly length: number;
}

/** Hardware addresses in frames. */
export const MAC_CLAIMS = {
  sender: { text: "ether saddr", base: BASE.LINK, offset: ETHER.saddr, length: ETHER.length },
  arpSender: { text: "arp saddr ether", base: BASE.NETWORK, offset: ARP_SENDER_MAC, length: ETHER.length },
} as const satisfies Record<string, Claim>;

/** IP addresses in frames. */
export const ADDRESS_CLAIMS = {
  ip: { text: "ip saddr", base: BASE.NETWORK, offset: 12, length: 4 },
  arp: { text: "arp saddr ip", base: BASE.NETWORK, offset: ARP_SENDER_IP, length: 4 },
  ip6: { text: "ip6 saddr", base: BASE.NETWORK, offset: 8, length: 16 },
  neighbour: { text: "icmpv6 taddr", base: BASE.TRANSPORT, offset: ND_TARGET, length: 16 },
} as const satisfies Record<string, Claim>;

function load({ base, offset, length }: Claim, register: number): Attribute {
  return payload(base, offset, length, register);
}

function lookup(set: string, not: boolean): Attribute {
  return expression("lookup", [
    [LOOKUP.SET, text(set)],
    [LOOKUP.REGISTER, be32(REGISTER)],
    [LOOKUP.FLAGS, be32(not ? LOOKUP.INVERTED : 0)],
  ]);
}

/** Matches the input port against a set of names. */
export function portIn(set: string, not = false): RulePart {
  return {
    text: `iifname ${not ? "!= " : ""}@${set}`,
    expressions: [meta(META_KEY.IIFNAME), lookup(set, not)],
  };
}

/** Matches the input port together with two addresses of the frame against a set. */
export function senderIn(
  set: string,
  mac: keyof typeof MAC_CLAIMS,
  address: keyof typeof ADDRESS_CLAIMS,
  not = false,
): RulePart {
  const one = MAC_CLAIMS[mac], other = ADDRESS_CLAIMS[address];
  return {
    text: `iifname . ${one.text} . ${other.text} ${not ? "!= " : ""}@${set}`,
    expressions: [
      meta(META_KEY.IIFNAME),
      load(one, REGISTER_MAC),
      load(other, REGISTER_ADDRESS),
      lookup(set, not),
    ],
  };
}

/** Matches the type of an untagged frame. */
export function etherType(type: keyof typeof ETHER_TYPE): RulePart {
  return {
    text: `ether type ${type}`,
    expressions: [payload(BASE.LINK, ETHER.type, 2), compare("EQUAL", be16(ETHER_TYPE[type]))],
  };
}

/** Matches the type of an ICMPv6 message behind any extension headers. */
export function icmpv6Type(type: keyof typeof ICMPV6_TYPE): RulePart {
  return {
    text: `meta l4proto ipv6-icmp icmpv6 type ${type}`,
    expressions: [
      meta(META_KEY.L4PROTO),
      compare("EQUAL", u8(ICMPV6)),
      payload(BASE.TRANSPORT, 0, 1),
      compare("EQUAL", u8(ICMPV6_TYPE[type])),
    ],
  };
}
