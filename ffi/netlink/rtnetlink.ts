/**
 * Network interfaces: bridges, veth pairs and rate limits (`RTM_*LINK` and `RTM_NEWQDISC` of rtnetlink(7)).
 *
 * @module
 */

import { ERRNO } from "../errno.ts";
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
import { ask, orNothing } from "./netlink.ts";

const RTM = { NEWLINK: 16, DELLINK: 17, GETLINK: 18, NEWQDISC: 36 } as const;
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
const TCA = { KIND: 1, OPTIONS: 2, TBF_PARMS: 1, TBF_BURST: 6 } as const, TC_H_ROOT = 0xffffffff;
const IFF_UP = 1, RTEXT_FILTER_SKIP_STATS = 8;

/** A network interface. */
export interface Link {
  /** Its index. */
  readonly index: number;
  /** Its name. */
  readonly name: string;
  /** Its MTU in bytes. */
  readonly mtu: number;
  /** Whether it is up. */
  readonly up: boolean;
  /** The index of the bridge that it is a port of; 0 without one. */
  readonly master: number;
  /** Its kind, such as `bridge`; empty for hardware. */
  readonly kind: string;
}

/** Encodes `struct ifinfomsg`. */
function linkHeader(index: number, up: boolean): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set(u32(index), 4);
  if (up) bytes.set([IFF_UP], 8), bytes.set([IFF_UP], 12);
  return bytes;
}

const CREATE = NLM_F.ACK | NLM_F.CREATE | NLM_F.EXCL;

/** Returns `RTM_NEWLINK` for the interface called `name`: changes it, or creates it with {@linkcode CREATE}. */
function newLink(
  name: string,
  attributes: readonly Attribute[],
  text_: string,
  flags: number = NLM_F.ACK,
  header = linkHeader(0, false),
): Message {
  return { type: RTM.NEWLINK, flags, header, attributes: [[IFLA.IFNAME, text(name)], ...attributes], text: text_ };
}

/** Returns the attribute for an interface of a kind, with its settings if any. */
function linkInfo(kind: string, data?: readonly Attribute[]): Attribute {
  return [IFLA.LINKINFO, [[IFLA.INFO_KIND, text(kind)], ...(data ? [[IFLA.INFO_DATA, data] as const] : [])]];
}

/** Creates a bridge and brings it up. */
export function newBridge(name: string, mac: Uint8Array, mtu: number): Message {
  const attributes: Attribute[] = [[IFLA.ADDRESS, mac], [IFLA.MTU, u32(mtu)], linkInfo("bridge")];
  return newLink(name, attributes, `create the bridge ${name}, mtu ${mtu}, up`, CREATE, linkHeader(0, true));
}

/** Sets `no_linklocal_learn` on a bridge: nf_tables does not see all frames to link-local addresses, such as LLDP's. */
export function learnLess(name: string): Message {
  // struct br_boolopt_multi: values and mask, of which BR_BOOLOPT_NO_LL_LEARN is bit 0.
  const options = Uint8Array.of(...u32(1), ...u32(1));
  const info = linkInfo("bridge", [[IFLA.BR_MULTI_BOOLOPT, options]]);
  return newLink(name, [info], `set no_linklocal_learn on ${name}`);
}

/** Creates a veth pair in the network namespace of the socket. */
export function newPair(one: string, other: string): Message {
  const peer = new Uint8Array([...linkHeader(0, false), ...attributeBytes([[IFLA.IFNAME, text(other)]])]);
  return newLink(one, [linkInfo("veth", [[IFLA.VETH_PEER, peer]])], `create ${one} and its peer ${other}`, CREATE);
}

/** A veth pair (veth(4)) to be created by a process in the network namespace of a container. */
export interface VethPair {
  /** The name of the host's end. */
  readonly host: string;
  /** The index of the bridge that the host's end becomes a port of. */
  readonly master: number;
  /** A descriptor of the host's network namespace. */
  readonly hostNamespace: number;
  /** The index of the host's end. The kernel ignores {@linkcode index} without it. */
  readonly hostIndex: number;
  /** The name of the other end. */
  readonly name: string;
  /** The index of the other end. */
  readonly index: number;
  /** The hardware address of the other end, 6 bytes. */
  readonly mac: Uint8Array;
  /** The MTU of both ends in bytes. */
  readonly mtu: number;
}

// The default is a queue for each possible CPU, which takes most of the time of creating a pair.
const ONE_QUEUE: readonly Attribute[] = [[IFLA.NUM_TX_QUEUES, u32(1)], [IFLA.NUM_RX_QUEUES, u32(1)]];

/** Creates a veth pair: the host's end, up and a port of a bridge; the other end in the namespace of the socket. */
export function newVeth({ host, hostIndex, master, hostNamespace, name, index, mac, mtu }: VethPair): Message {
  const shared: readonly Attribute[] = [[IFLA.MTU, u32(mtu)], ...ONE_QUEUE];
  const peer: Attribute[] = [[IFLA.IFNAME, text(name)], [IFLA.ADDRESS, mac], ...shared];
  return newLink(
    host,
    [
      ...shared,
      [IFLA.MASTER, u32(master)],
      [IFLA.NET_NS_FD, u32(hostNamespace)],
      linkInfo("veth", [[IFLA.VETH_PEER, new Uint8Array([...linkHeader(index, false), ...attributeBytes(peer)])]]),
    ],
    `create ${name} here and its peer ${host} on the host's bridge, mtu ${mtu}`,
    CREATE,
    linkHeader(hostIndex, true),
  );
}

/** Encodes attributes whose value is the raw content of another. */
function attributeBytes(attributes: readonly Attribute[]): number[] {
  return attributes.flatMap(([type, value]) => {
    const bytes = value instanceof Uint8Array ? [...value] : attributeBytes(value);
    const padding = new Array<number>((4 - bytes.length % 4) % 4).fill(0);
    return [...u16(bytes.length + 4), ...u16(type), ...bytes, ...padding];
  });
}

/** Enables hairpin mode on a port of a bridge: a container reaches itself through an address of the host. */
export function setHairpin(name: string): Message {
  const info: Attribute = [IFLA.LINKINFO, [
    [IFLA.INFO_SLAVE_KIND, text("bridge")],
    [IFLA.INFO_SLAVE_DATA, [[IFLA.BRPORT_MODE, Uint8Array.of(1)]]],
  ]];
  return newLink(name, [info], `enable hairpin mode on ${name}`);
}

/** Brings an interface up. */
export function setUp(index: number, name: string): Message {
  return { type: RTM.NEWLINK, flags: NLM_F.ACK, header: linkHeader(index, true), text: `set ${name} up` };
}

/** Removes an interface. */
export function deleteLink(index: number, name: string): Message {
  return { type: RTM.DELLINK, flags: NLM_F.ACK, header: linkHeader(index, false), text: `remove ${name}` };
}

// Ticks of the packet scheduler, 64 ns each (PSCHED_SHIFT).
const TICKS_PER_SECOND = 15_625_000;

/** Limits the output of an interface to `rate` bytes a second: tc-tbf(8). */
export function newRateLimit(index: number, rate: number, label: string): Message {
  // Room for the largest packet of segmentation offload, and for 10 ms at the full rate.
  const burst = Math.max(65_536 + 512, Math.ceil(rate / 100));
  const limit = burst + Math.ceil(rate / 20);
  // struct tc_tbf_qopt: rate (cell_log, linklayer, overhead, cell_align, mpu, rate), peakrate, limit, buffer, mtu.
  const TC_LINKLAYER_ETHERNET = 1, parameters = new Uint8Array(36);
  parameters.set(u32(Math.min(rate, 0xffffffff)), 8);
  parameters.set(u32(limit), 24);
  parameters.set(u32(Math.ceil(burst / rate * TICKS_PER_SECOND)), 28);
  parameters.set([TC_LINKLAYER_ETHERNET], 1);
  return {
    type: RTM.NEWQDISC,
    flags: NLM_F.ACK | NLM_F.CREATE | NLM_F.REPLACE,
    header: new Uint8Array([0, 0, 0, 0, ...u32(index), ...u32(0), ...u32(TC_H_ROOT), ...u32(0)]),
    attributes: [
      [TCA.KIND, text("tbf")],
      [TCA.OPTIONS, [[TCA.TBF_PARMS, parameters], [TCA.TBF_BURST, u32(burst)]]],
    ],
    text: `limit ${label} to ${rate} bytes a second`,
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
 * Waits for the kernel's deferred work on an interface that was brought up, such as the forwarding state of a bridge port:
 * since Linux 6.9 the kernel completes it before it answers.
 */
export function settleLink(name: string): Message {
  return {
    type: RTM.GETLINK,
    flags: NLM_F.ACK,
    header: linkHeader(0, false),
    attributes: [[IFLA.IFNAME, text(name)], [IFLA.EXT_MASK, u32(RTEXT_FILTER_SKIP_STATS)]],
    text: `wait until ${name} is ready`,
  };
}

/** Finds an interface by name or index; undefined if it does not exist. */
export function findLink(fd: number, which: string | number): Link | undefined {
  const name: Attribute[] = typeof which === "string" ? [[IFLA.IFNAME, text(which)]] : [];
  const message: Message = {
    type: RTM.GETLINK,
    flags: 0,
    header: linkHeader(typeof which === "number" ? which : 0, false),
    attributes: [...name, [IFLA.EXT_MASK, u32(RTEXT_FILTER_SKIP_STATS)]],
    text: `find the interface ${which}`,
  };
  return orNothing(ERRNO.ENODEV, () => ask(fd, message, ({ payload }) => readLink(payload)))[0];
}

/** Lists all interfaces, or the ports of the bridge with the index `master`. */
export function listLinks(fd: number, master?: number): Link[] {
  const message: Message = {
    type: RTM.GETLINK,
    flags: NLM_F.DUMP,
    header: linkHeader(0, false),
    attributes: [
      [IFLA.EXT_MASK, u32(RTEXT_FILTER_SKIP_STATS)],
      ...(master === undefined ? [] : [[IFLA.MASTER, u32(master)] as const]),
    ],
    text: "list the interfaces",
  };
  return ask(fd, message, ({ payload }) => readLink(payload));
}
