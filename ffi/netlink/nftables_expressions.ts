/**
 * Matches and statements of nf_tables rules, compiled to the same expressions as by nft(8).
 *
 * @module
 */

import { type Attribute, be16, be32, text, u32, u8 } from "./messages.ts";
import { interfaceName } from "./nftables.ts";

/** A match or a statement of a rule. */
export interface RulePart {
  /** Its text in nft(8). */
  readonly text: string;
  /** Its expressions. */
  readonly expressions: readonly Attribute[];
}

/** A state of connection tracking. */
export type ConnectionState = keyof typeof CONNECTION_STATE;

// Numbers of linux/netfilter/nf_tables.h, nf_conntrack_common.h and rtnetlink.h.
const LIST_ELEMENT = 1;
const EXPRESSION = { NAME: 1, DATA: 2 } as const;
const DATA = { VALUE: 1, VERDICT: 2 } as const;
const VERDICT_CODE = 1;
const IMMEDIATE = { REGISTER: 1, DATA: 2 } as const;
const BITWISE = { SOURCE: 1, REGISTER: 2, LENGTH: 3, MASK: 4, XOR: 5 } as const;
const CMP = { REGISTER: 1, OPERATOR: 2, DATA: 3 } as const;
const PAYLOAD = { REGISTER: 1, BASE: 2, OFFSET: 3, LENGTH: 4 } as const;
const META = { REGISTER: 1, KEY: 2 } as const;
const CT = { REGISTER: 1, KEY: 2 } as const;
const FIB = { REGISTER: 1, RESULT: 2, FLAGS: 3 } as const;
const NAT = { TYPE: 1, FAMILY: 2, ADDRESS: 3, PORT: 5, FLAGS: 7 } as const;

const OPERATOR = { EQUAL: 0, UNEQUAL: 1, AT_MOST: 3, AT_LEAST: 5 } as const;
/** The headers to which offsets are relative (`NFT_PAYLOAD_`). */
export const BASE = { LINK: 0, NETWORK: 1, TRANSPORT: 2 } as const;
/** Metadata of packets (`NFT_META_`). */
export const META_KEY = { IIFNAME: 6, OIFNAME: 7, L4PROTO: 16, OIFKIND: 27 } as const;
const CT_KEY = { STATE: 0, STATUS: 2 } as const;
const CONNECTION_STATE = { invalid: 1, established: 2, related: 4, new: 8 } as const;
const IPS_DST_NAT = 0x20;
const FIB_RESULT_ADDRTYPE = 3, FIB_DADDR = 2, RTN_LOCAL = 2;
const NAT_DESTINATION = 1, NAT_PORT_SPECIFIED = 2;
const PROTOCOL = { icmp: 1, tcp: 6, udp: 17, "ipv6-icmp": 58 } as const;
const VERDICT = { DROP: 0, ACCEPT: 1 } as const;
const NFPROTO_IPV4 = 2, NFPROTO_IPV6 = 10;
const DESTINATION_PORT = 2;
/** The offsets of addresses in the headers of IPv4 and IPv6. */
const ADDRESS_OFFSET = { ip: { saddr: 12, daddr: 16 }, ip6: { saddr: 8, daddr: 24 } } as const;

/** The register of most expressions. */
export const REGISTER = 1;

const REGISTER_VERDICT = 0, REGISTER_2 = 2;

/** Returns the expression of that name. */
export function expression(name: string, attributes: readonly Attribute[]): Attribute {
  return [LIST_ELEMENT, [[EXPRESSION.NAME, text(name)], [EXPRESSION.DATA, attributes]]];
}

/** Loads metadata of the packet. */
export function meta(key: number): Attribute {
  return expression("meta", [[META.REGISTER, be32(REGISTER)], [META.KEY, be32(key)]]);
}

function connection(key: number): Attribute {
  return expression("ct", [[CT.REGISTER, be32(REGISTER)], [CT.KEY, be32(key)]]);
}

/** Loads bytes of the packet. */
export function payload(base: number, offset: number, length: number, register = REGISTER): Attribute {
  return expression("payload", [
    [PAYLOAD.REGISTER, be32(register)],
    [PAYLOAD.BASE, be32(base)],
    [PAYLOAD.OFFSET, be32(offset)],
    [PAYLOAD.LENGTH, be32(length)],
  ]);
}

/** Continues with the rule only if the loaded value compares to `value`. */
export function compare(operator: keyof typeof OPERATOR, value: Uint8Array): Attribute {
  return expression("cmp", [
    [CMP.REGISTER, be32(REGISTER)],
    [CMP.OPERATOR, be32(OPERATOR[operator])],
    [CMP.DATA, [[DATA.VALUE, value]]],
  ]);
}

function mask(bits: Uint8Array): Attribute {
  return expression("bitwise", [
    [BITWISE.SOURCE, be32(REGISTER)],
    [BITWISE.REGISTER, be32(REGISTER)],
    [BITWISE.LENGTH, be32(bits.length)],
    [BITWISE.MASK, [[DATA.VALUE, bits]]],
    [BITWISE.XOR, [[DATA.VALUE, new Uint8Array(bits.length)]]],
  ]);
}

function load(register: number, value: Uint8Array): Attribute {
  return expression("immediate", [[IMMEDIATE.REGISTER, be32(register)], [IMMEDIATE.DATA, [[DATA.VALUE, value]]]]);
}

function verdict(name: string, code: number): RulePart {
  const data: Attribute = [IMMEDIATE.DATA, [[DATA.VERDICT, [[VERDICT_CODE, be32(code)]]]]];
  return { text: name, expressions: [expression("immediate", [[IMMEDIATE.REGISTER, be32(REGISTER_VERDICT)], data])] };
}

function isOrNot(not: boolean): "EQUAL" | "UNEQUAL" {
  return not ? "UNEQUAL" : "EQUAL";
}

function throughInterface(key: "iifname" | "oifname", name: string, not: boolean): RulePart {
  const loaded = meta(key === "iifname" ? META_KEY.IIFNAME : META_KEY.OIFNAME);
  return {
    text: `${key} ${not ? "!= " : ""}"${name}"`,
    expressions: [loaded, compare(isOrNot(not), interfaceName(name))],
  };
}

/** Matches the input interface. Throws `RangeError` if the name is too long. */
export function iifname(name: string, not = false): RulePart {
  return throughInterface("iifname", name, not);
}

/** Matches the output interface. Throws `RangeError` if the name is too long. */
export function oifname(name: string, not = false): RulePart {
  return throughInterface("oifname", name, not);
}

/** Matches the kind of the output interface, such as `bridge`; hardware does not have one. */
export function oifkind(kind: string): RulePart {
  return {
    text: `meta oifkind "${kind}"`,
    expressions: [meta(META_KEY.OIFKIND), compare("EQUAL", interfaceName(kind))],
  };
}

function formatAddress(address: Uint8Array): string {
  if (address.length === 4) return address.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => ((address[2 * i] ?? 0) << 8 | (address[2 * i + 1] ?? 0)));
  return new URL(`http://[${groups.map((group) => group.toString(16)).join(":")}]`).hostname.slice(1, -1);
}

function prefixMask(length: number, prefix: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => 0xff << (8 - Math.min(8, Math.max(0, prefix - i * 8))));
}

function address(which: "saddr" | "daddr", network: Uint8Array, prefix: number, not: boolean): RulePart {
  const family = network.length === 4 ? "ip" : "ip6";
  const offset = ADDRESS_OFFSET[family][which];
  const bits = prefixMask(network.length, prefix);
  const masked = network.map((byte, i) => byte & (bits[i] ?? 0));
  const wholeBytes = prefix > 0 && prefix % 8 === 0;
  const length = prefix < network.length * 8 ? `/${prefix}` : "";
  return {
    text: `${family} ${which} ${not ? "!= " : ""}${formatAddress(masked)}${length}`,
    expressions: wholeBytes
      ? [payload(BASE.NETWORK, offset, prefix / 8), compare(isOrNot(not), masked.subarray(0, prefix / 8))]
      : [payload(BASE.NETWORK, offset, network.length), mask(bits), compare(isOrNot(not), masked)],
  };
}

/** Matches the source network: 4 or 16 bytes and a prefix length. */
export function saddr(network: Uint8Array, prefix: number, not = false): RulePart {
  return address("saddr", network, prefix, not);
}

/** Matches the destination network: 4 or 16 bytes and a prefix length. */
export function daddr(network: Uint8Array, prefix: number, not = false): RulePart {
  return address("daddr", network, prefix, not);
}

/** Matches the transport protocol. */
export function protocol(name: keyof typeof PROTOCOL): RulePart {
  return {
    text: `meta l4proto ${name}`,
    expressions: [meta(META_KEY.L4PROTO), compare("EQUAL", u8(PROTOCOL[name]))],
  };
}

/** Matches the destination ports from `from` to `to`; must follow {@linkcode protocol}. */
export function destinationPort(from: number, to = from): RulePart {
  return {
    text: `th dport ${from}${to > from ? `-${to}` : ""}`,
    expressions: [
      payload(BASE.TRANSPORT, DESTINATION_PORT, 2),
      ...(to > from ? [compare("AT_LEAST", be16(from)), compare("AT_MOST", be16(to))] : [compare("EQUAL", be16(from))]),
    ],
  };
}

/** Matches the states of the connection. */
export function connectionState(...states: readonly ConnectionState[]): RulePart {
  const bits = states.reduce((all, state) => all | CONNECTION_STATE[state], 0);
  return {
    text: `ct state ${states.join(",")}`,
    expressions: [connection(CT_KEY.STATE), mask(u32(bits)), compare("UNEQUAL", u32(0))],
  };
}

/** Matches connections whose destination {@linkcode dnat} has changed. */
export const wasDnat: RulePart = {
  text: "ct status dnat",
  expressions: [connection(CT_KEY.STATUS), mask(u32(IPS_DST_NAT)), compare("UNEQUAL", u32(0))],
};

/** Matches destinations that are local addresses. */
export const toThisMachine: RulePart = {
  text: "fib daddr type local",
  expressions: [
    expression("fib", [
      [FIB.REGISTER, be32(REGISTER)],
      [FIB.RESULT, be32(FIB_RESULT_ADDRTYPE)],
      [FIB.FLAGS, be32(FIB_DADDR)],
    ]),
    compare("EQUAL", u32(RTN_LOCAL)),
  ],
};

/** Accepts the packet in this chain; later chains of the hook still apply. */
export const accept: RulePart = verdict("accept", VERDICT.ACCEPT);

/** Drops the packet, finally. */
export const drop: RulePart = verdict("drop", VERDICT.DROP);

/** Changes the source to the address of the output interface. */
export const masquerade: RulePart = { text: "masquerade", expressions: [expression("masq", [])] };

/** Changes the destination to an address of 4 or 16 bytes and, if given, the port. */
export function dnat(to: Uint8Array, port?: number): RulePart {
  const family = to.length === 4 ? NFPROTO_IPV4 : NFPROTO_IPV6;
  const target = port === undefined || to.length === 4 ? formatAddress(to) : `[${formatAddress(to)}]`;
  const nat: readonly Attribute[] = [
    [NAT.TYPE, be32(NAT_DESTINATION)],
    [NAT.FAMILY, be32(family)],
    [NAT.ADDRESS, be32(REGISTER)],
  ];
  const portToo: readonly Attribute[] = [[NAT.PORT, be32(REGISTER_2)], [NAT.FLAGS, be32(NAT_PORT_SPECIFIED)]];
  return {
    text: `dnat to ${target}${port === undefined ? "" : `:${port}`}`,
    expressions: [
      load(REGISTER, to),
      ...(port === undefined
        ? [expression("nat", nat)]
        : [load(REGISTER_2, be16(port)), expression("nat", [...nat, ...portToo])]),
    ],
  };
}
