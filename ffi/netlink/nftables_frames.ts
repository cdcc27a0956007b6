/**
 * Matches of nf_tables for the frames of a bridge: their senders, and what they claim in ARP (RFC 826) and in neighbour
 * discovery (RFC 4861).
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

// An interface's name fills the first 16 bytes of the registers, a hardware address the next 8.
const REGISTER_MAC = 2, REGISTER_ADDRESS = 14;

/** An address that a frame tells: as `nft(8)` calls it, and where it is. */
interface Claim {
  readonly text: string;
  readonly base: number;
  readonly offset: number;
  readonly length: number;
}

/** Addresses of network interfaces that frames tell. */
export const MAC_CLAIMS = {
  sender: { text: "ether saddr", base: BASE.LINK, offset: ETHER.saddr, length: ETHER.length },
  arpSender: { text: "arp saddr ether", base: BASE.NETWORK, offset: ARP_SENDER_MAC, length: ETHER.length },
} as const satisfies Record<string, Claim>;

/** Addresses of machines that frames tell. */
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

/** The port that the frame came in by is in a set of names, or `not`. */
export function portIn(set: string, not = false): RulePart {
  return {
    text: `iifname ${not ? "!= " : ""}@${set}`,
    expressions: [meta(META_KEY.IIFNAME), lookup(set, not)],
  };
}

/** The port that the frame came in by, and two addresses that it tells, are together in a set, or `not`. */
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

/** The frame carries this, without a VLAN's tag. */
export function etherType(type: keyof typeof ETHER_TYPE): RulePart {
  return {
    text: `ether type ${type}`,
    expressions: [payload(BASE.LINK, ETHER.type, 2), compare("EQUAL", be16(ETHER_TYPE[type]))],
  };
}

/** The packet is a message of ICMPv6 of this type, whatever headers are before it. */
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
