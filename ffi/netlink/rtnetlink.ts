/**
 * Links, addresses, default routes and queueing disciplines (`rtnetlink(7)`): requests as data, and what the kernel tells.
 *
 * @module
 */

import { ask, orNothing } from "./netlink.ts";
import {
  type Attribute,
  decodeAttributes,
  type Message,
  NLM_F,
  readText,
  readU32,
  text,
  u16,
  u32,
} from "./messages.ts";

const RTM = {
  NEWLINK: 16,
  DELLINK: 17,
  GETLINK: 18,
  NEWADDR: 20,
  DELADDR: 21,
  GETADDR: 22,
  NEWROUTE: 24,
  NEWQDISC: 36,
} as const;

const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  MASTER: 10,
  LINKINFO: 18,
  NET_NS_FD: 28,
  IFALIAS: 20,
  EXT_MASK: 29,
  NUM_TX_QUEUES: 31,
  NUM_RX_QUEUES: 32,
  INFO_KIND: 1,
  INFO_DATA: 2,
  INFO_SLAVE_KIND: 4,
  INFO_SLAVE_DATA: 5,
  VETH_PEER: 1,
  BRPORT_MODE: 4,
  BR_MULTI_BOOLOPT: 46,
} as const;
const IFA = { ADDRESS: 1, LOCAL: 2, BROADCAST: 4, FLAGS: 8 } as const;
const RTA = { OIF: 4, GATEWAY: 5 } as const;
const TCA = { KIND: 1, OPTIONS: 2, TBF_PARMS: 1, TBF_BURST: 6 } as const;

const IFF_UP = 1;
const SKIP_STATISTICS = 8;
const AF_INET = 2, AF_INET6 = 10;
const IFA_F_NODAD = 2;
const ENODEV = 19;

/** A network interface. */
export interface Link {
  /** Its index. */
  readonly index: number;
  /** Its name. */
  readonly name: string;
  /** Its largest packet, in bytes. */
  readonly mtu: number;
  /** Whether it is set up. */
  readonly up: boolean;
  /** The index of the bridge that it is a port of; 0 if it is none. */
  readonly master: number;
  /** What kind it is, such as `bridge`; empty for hardware. */
  readonly kind: string;
}

/** An address of an interface. */
export interface LinkAddress {
  /** The interface's index. */
  readonly index: number;
  /** The address, 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** The length of its network's prefix, in bits. */
  readonly prefix: number;
}

function familyOf(address: Uint8Array): number {
  return address.length === 4 ? AF_INET : AF_INET6;
}

/** `struct ifinfomsg`. */
function linkHeader(index: number, up: boolean): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(u32(index), 4);
  if (up) bytes.set([IFF_UP], 8), bytes.set([IFF_UP], 12);
  return bytes;
}

const CHANGE = NLM_F.ACK, MAKE = NLM_F.ACK | NLM_F.CREATE | NLM_F.EXCL;

/** Makes a bridge and sets it up. */
export function newBridge(name: string, mac: Uint8Array, mtu: number): Message {
  return {
    type: RTM.NEWLINK,
    flags: MAKE,
    header: linkHeader(0, true),
    attributes: [
      [IFLA.IFNAME, text(name)],
      [IFLA.ADDRESS, mac],
      [IFLA.MTU, u32(mtu)],
      [IFLA.LINKINFO, [[IFLA.INFO_KIND, text("bridge")]]],
    ],
    text: `make the bridge ${name}, mtu ${mtu}, up`,
  };
}

/**
 * Lets a bridge learn nothing from frames that are for itself: no rule of nf_tables sees some of them, such as LLDP's.
 */
export function learnLess(name: string): Message {
  // struct br_boolopt_multi: values and a mask. The first option is no_linklocal_learn.
  const options = Uint8Array.of(...u32(1), ...u32(1));
  return {
    type: RTM.NEWLINK,
    flags: CHANGE,
    header: linkHeader(0, false),
    attributes: [
      [IFLA.IFNAME, text(name)],
      [IFLA.LINKINFO, [[IFLA.INFO_KIND, text("bridge")], [IFLA.INFO_DATA, [[IFLA.BR_MULTI_BOOLOPT, options]]]]],
    ],
    text: `let ${name} learn nothing from frames that are for itself`,
  };
}

/** Makes a pair of connected interfaces in the socket's namespace. */
export function newPair(one: string, other: string): Message {
  const peer = new Uint8Array([...linkHeader(0, false), ...attributeBytes([[IFLA.IFNAME, text(other)]])]);
  return {
    type: RTM.NEWLINK,
    flags: MAKE,
    header: linkHeader(0, false),
    attributes: [
      [IFLA.IFNAME, text(one)],
      [IFLA.LINKINFO, [[IFLA.INFO_KIND, text("veth")], [IFLA.INFO_DATA, [[IFLA.VETH_PEER, peer]]]]],
    ],
    text: `make ${one} and its other end ${other}`,
  };
}

/** A pair of connected interfaces to be made by a process in another network namespace than the host's. */
export interface VethPair {
  /** The name of the host's end. */
  readonly host: string;
  /** The index of the bridge that the host's end becomes a port of. */
  readonly master: number;
  /** A descriptor of the host's network namespace. */
  readonly hostNamespace: number;
  /** The index of the host's end. The kernel heeds the other one's only if this is chosen too. */
  readonly hostIndex: number;
  /** The name of the other end. */
  readonly name: string;
  /** The index of the other end. */
  readonly index: number;
  /** The hardware address of the other end, 6 bytes. */
  readonly mac: Uint8Array;
  /** The largest packet, in bytes. */
  readonly mtu: number;
}

// Otherwise there is one for each CPU that the machine could have, which takes longer to make than all the rest.
const ONE_QUEUE: readonly Attribute[] = [[IFLA.NUM_TX_QUEUES, u32(1)], [IFLA.NUM_RX_QUEUES, u32(1)]];

/** Makes a pair: one end, up, a port of a bridge of the host's; the other in the namespace of the socket. */
export function newVeth({ host, hostIndex, master, hostNamespace, name, index, mac, mtu }: VethPair): Message {
  const peer = new Uint8Array([...linkHeader(index, false), ...attributeBytes([[IFLA.IFNAME, text(name)]])]);
  const rest: Attribute[] = [[IFLA.ADDRESS, mac], [IFLA.MTU, u32(mtu)], ...ONE_QUEUE];
  return {
    type: RTM.NEWLINK,
    flags: MAKE,
    header: linkHeader(hostIndex, true),
    attributes: [
      [IFLA.IFNAME, text(host)],
      [IFLA.MTU, u32(mtu)],
      ...ONE_QUEUE,
      [IFLA.MASTER, u32(master)],
      [IFLA.NET_NS_FD, u32(hostNamespace)],
      [IFLA.LINKINFO, [
        [IFLA.INFO_KIND, text("veth")],
        [IFLA.INFO_DATA, [[IFLA.VETH_PEER, new Uint8Array([...peer, ...attributeBytes(rest)])]]],
      ]],
    ],
    text: `make ${name} here and its other end ${host} on the host's bridge, mtu ${mtu}`,
  };
}

function attributeBytes(attributes: readonly Attribute[]): number[] {
  return attributes.flatMap(([type, value]) => {
    const bytes = value instanceof Uint8Array ? [...value] : attributeBytes(value);
    const padding = new Array<number>((4 - bytes.length % 4) % 4).fill(0);
    return [...u16(bytes.length + 4), ...u16(type), ...bytes, ...padding];
  });
}

/** Lets a port of a bridge get back what came from it: a container that calls itself by an address of the host's. */
export function setHairpin(name: string): Message {
  return {
    type: RTM.NEWLINK,
    flags: CHANGE,
    header: linkHeader(0, false),
    attributes: [
      [IFLA.IFNAME, text(name)],
      [IFLA.LINKINFO, [
        [IFLA.INFO_SLAVE_KIND, text("bridge")],
        [IFLA.INFO_SLAVE_DATA, [[IFLA.BRPORT_MODE, Uint8Array.of(1)]]],
      ]],
    ],
    text: `let ${name} get back what came from it`,
  };
}

/** Sets an interface up. */
export function setUp(index: number, name: string): Message {
  return { type: RTM.NEWLINK, flags: CHANGE, header: linkHeader(index, true), text: `set ${name} up` };
}

/** Removes an interface. */
export function deleteLink(index: number, name: string): Message {
  return { type: RTM.DELLINK, flags: CHANGE, header: linkHeader(index, false), text: `remove ${name}` };
}

/** `struct ifaddrmsg`. */
function addressHeader(index: number, address: Uint8Array, prefix: number): Uint8Array {
  return new Uint8Array([familyOf(address), prefix, 0, 0, ...u32(index)]);
}

function broadcast(address: Uint8Array, prefix: number): Uint8Array {
  return address.map((byte, i) => byte | (0xff >> Math.min(8, Math.max(0, prefix - i * 8))));
}

/** Gives an interface an address. IPv6 addresses are not checked for being in use: their lease says that they are not. */
export function newAddress(index: number, address: Uint8Array, prefix: number, label: string): Message {
  const own: Attribute[] = address.length === 4
    ? [[IFA.LOCAL, address], ...(prefix < 31 ? [[IFA.BROADCAST, broadcast(address, prefix)] as const] : [])]
    : [[IFA.FLAGS, u32(IFA_F_NODAD)]];
  return {
    type: RTM.NEWADDR,
    flags: NLM_F.ACK | NLM_F.CREATE | NLM_F.REPLACE,
    header: addressHeader(index, address, prefix),
    attributes: [[IFA.ADDRESS, address], ...own],
    text: `give ${label}`,
  };
}

/** Takes an address from an interface. */
export function deleteAddress({ index, address, prefix }: LinkAddress, label: string): Message {
  return {
    type: RTM.DELADDR,
    flags: CHANGE,
    header: addressHeader(index, address, prefix),
    attributes: [[IFA.ADDRESS, address], ...(address.length === 4 ? [[IFA.LOCAL, address] as const] : [])],
    text: `take ${label}`,
  };
}

/** Makes `gateway` the default route. */
export function newDefaultRoute(index: number, gateway: Uint8Array, label: string): Message {
  const TABLE_MAIN = 254, PROTO_STATIC = 4, TYPE_UNICAST = 1;
  return {
    type: RTM.NEWROUTE,
    flags: NLM_F.ACK | NLM_F.CREATE,
    header: new Uint8Array([familyOf(gateway), 0, 0, 0, TABLE_MAIN, PROTO_STATIC, 0, TYPE_UNICAST, 0, 0, 0, 0]),
    attributes: [[RTA.GATEWAY, gateway], [RTA.OIF, u32(index)]],
    text: `route everything else through ${label}`,
  };
}

// Clock ticks of the packet scheduler: 64 ns each (PSCHED_SHIFT).
const TICKS_PER_SECOND = 15_625_000;

/** Sends at most `rate` bytes a second through an interface: tc-tbf(8). */
export function newRateLimit(index: number, rate: number, label: string): Message {
  // Large enough for the largest packet that segmentation offload makes, and for 10 ms of full speed.
  const burst = Math.max(65_536 + 512, Math.ceil(rate / 100));
  const limit = burst + Math.ceil(rate / 20);
  const parameters = new Uint8Array(36);
  parameters.set(u32(Math.min(rate, 0xffffffff)), 8);
  parameters.set(u32(limit), 24);
  parameters.set(u32(Math.ceil(burst / rate * TICKS_PER_SECOND)), 28);
  // struct tc_ratespec begins with cell_log, linklayer (1: ethernet), overhead, cell_align, mpu.
  parameters.set([0, 1], 0);
  const ROOT = 0xffffffff;
  return {
    type: RTM.NEWQDISC,
    flags: NLM_F.ACK | NLM_F.CREATE | NLM_F.REPLACE,
    header: new Uint8Array([0, 0, 0, 0, ...u32(index), ...u32(0), ...u32(ROOT), ...u32(0)]),
    attributes: [
      [TCA.KIND, text("tbf")],
      [TCA.OPTIONS, [[TCA.TBF_PARMS, parameters], [TCA.TBF_BURST, u32(burst)]]],
    ],
    text: `send at most ${rate} bytes a second through ${label}`,
  };
}

function readLink(payload: Uint8Array<ArrayBuffer>): Link {
  const attributes = decodeAttributes(payload.subarray(16));
  const info = attributes.get(IFLA.LINKINFO);
  return {
    index: readU32(payload.subarray(4)),
    up: (readU32(payload.subarray(8)) & IFF_UP) !== 0,
    name: readText(attributes.get(IFLA.IFNAME)),
    mtu: readU32(attributes.get(IFLA.MTU)),
    master: readU32(attributes.get(IFLA.MASTER)),
    kind: info ? readText(decodeAttributes(info).get(IFLA.INFO_KIND)) : "",
  };
}

/**
 * Waits until all that follows from an interface's coming up has been done, such as that a bridge forwards to it: from
 * Linux 6.9 on the kernel does it before it answers.
 */
export function settleLink(name: string): Message {
  return {
    type: RTM.GETLINK,
    flags: NLM_F.ACK,
    header: linkHeader(0, false),
    attributes: [[IFLA.IFNAME, text(name)], [IFLA.EXT_MASK, u32(SKIP_STATISTICS)]],
    text: `wait until ${name} is ready`,
  };
}

/** The interface called `name`, or with that index; undefined if there is none. */
export function findLink(fd: number, which: string | number): Link | undefined {
  const name: Attribute[] = typeof which === "string" ? [[IFLA.IFNAME, text(which)]] : [];
  const message: Message = {
    type: RTM.GETLINK,
    flags: 0,
    header: linkHeader(typeof which === "number" ? which : 0, false),
    attributes: [...name, [IFLA.EXT_MASK, u32(SKIP_STATISTICS)]],
    text: `look for the interface ${which}`,
  };
  return orNothing(ENODEV, () => ask(fd, message, ({ payload }) => readLink(payload)))[0];
}

/** All interfaces, or those that are ports of the bridge with the index `master`. */
export function listLinks(fd: number, master?: number): Link[] {
  const message: Message = {
    type: RTM.GETLINK,
    flags: NLM_F.DUMP,
    header: linkHeader(0, false),
    attributes: [
      [IFLA.EXT_MASK, u32(SKIP_STATISTICS)],
      ...(master === undefined ? [] : [[IFLA.MASTER, u32(master)] as const]),
    ],
    text: "list the interfaces",
  };
  return ask(fd, message, ({ payload }) => readLink(payload));
}

/** The addresses of the interface with that index. */
export function listAddresses(fd: number, index: number): LinkAddress[] {
  const message: Message = {
    type: RTM.GETADDR,
    flags: NLM_F.DUMP,
    header: addressHeader(index, new Uint8Array(4), 0).fill(0, 0, 1),
    text: "list the addresses",
  };
  const all = orNothing(ENODEV, () =>
    ask(fd, message, ({ payload }): LinkAddress => {
      const attributes = decodeAttributes(payload.subarray(8));
      const address = attributes.get(IFA.LOCAL) ?? attributes.get(IFA.ADDRESS) ?? new Uint8Array();
      return { index: readU32(payload.subarray(4)), prefix: payload[1] ?? 0, address: address.slice() };
    }));
  return all.filter((address) => address.index === index);
}
