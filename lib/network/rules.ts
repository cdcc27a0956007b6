/**
 * The packet filter's rules for networks and for published ports, as data.
 *
 * @module
 */

import type { Message } from "../../ffi/netlink.ts";
import {
  type Chain,
  type ChainPlace,
  deleteTable,
  type Family,
  type Hook,
  newChain,
  newRule,
  newTable,
} from "../../ffi/nftables.ts";
import {
  accept,
  connectionState,
  daddr,
  destinationPort,
  dnat,
  drop,
  iifname,
  masquerade,
  oifname,
  protocol,
  type RulePart,
  saddr,
  toThisMachine,
  wasDnat,
} from "../../ffi/nftables_expressions.ts";
import { type Cidr, formatAddress, formatCidr } from "./address.ts";

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

/** Ports of this machine that lead to ports of a container. */
export interface PublishedTarget {
  /** The protocol. */
  readonly protocol: "tcp" | "udp";
  /** The address of this machine, as long as `address`. Default: every address. */
  readonly hostAddress?: Uint8Array;
  /** The first port of this machine. */
  readonly hostPort: number;
  /** How many consecutive ports. */
  readonly count: number;
  /** The container's address, 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** The container's first port. */
  readonly port: number;
}

interface RuledChain {
  readonly chain: string;
  readonly hook: Hook;
  readonly rules: readonly (readonly RulePart[])[];
}

// A change of the rules below is a change of this number.
const VERSION = 1;
const LOOPBACK: readonly [Uint8Array, number] = [Uint8Array.of(127, 0, 0, 0), 8];
const DNS = 53;

function familyOf(address: Uint8Array): "ip" | "ip6" {
  return address.length === 4 ? "ip" : "ip6";
}

function chainMessages(family: Family, table: string, chains: readonly RuledChain[]): Message[] {
  return chains.flatMap(({ chain, hook, rules }) => [
    newChain({ family, table, chain, hook }),
    ...rules.map((parts) => newRule({ family, table, chain, parts })),
  ]);
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

/** Makes the rules of a network, in place of those that it has. To be sent as one batch. */
export function networkRules(network: RuledNetwork): Message[] {
  const family = familyOf(network.subnet.address), name = network.bridge;
  return [
    newTable({ family, name }),
    deleteTable(family, name),
    newTable({ family, name, comment: rulesComment(network) }),
    ...chainMessages(family, name, networkChains(network)),
  ];
}

function networkChains({ bridge, subnet, gateway, internal, resolver }: RuledNetwork): RuledChain[] {
  const ip = familyOf(subnet.address) === "ip";
  const enters = iifname(bridge), entersElsewhere = iifname(bridge, true);
  const leaves = oifname(bridge), leavesElsewhere = oifname(bridge, true);
  const inside = saddr(subnet.address, subnet.prefix), outside = saddr(subnet.address, subnet.prefix, true);

  const raw: RuledChain = {
    chain: "raw",
    hook: { type: "filter", hook: "prerouting", priority: -300 },
    // Packets to published ports of the host's loopback are routed: none from the network may get there (CVE-2020-8558).
    rules: [[enters, daddr(...LOOPBACK), drop]],
  };
  const forward: RuledChain = {
    chain: "forward",
    hook: { type: "filter", hook: "forward", priority: 0 },
    rules: internal ? [[enters, leavesElsewhere, drop], [leaves, entersElsewhere, drop]] : [
      [enters, outside, drop],
      [leaves, connectionState("established", "related"), accept],
      [enters, leaves, accept],
      [leaves, wasDnat, accept],
      [leaves, drop],
    ],
  };
  const postrouting: RuledChain = {
    chain: "postrouting",
    hook: { type: "nat", hook: "postrouting", priority: 100 },
    rules: [
      ...(internal ? [] : [[inside, leavesElsewhere, masquerade]]),
      // A container that reaches another through a published port gets the answer from there.
      [leaves, inside, wasDnat, masquerade],
      ...(ip ? [[leaves, saddr(...LOOPBACK), masquerade]] : []),
    ],
  };
  const toResolver: RuledChain[] = resolver
    ? [{
      chain: "resolver",
      hook: { type: "nat", hook: "prerouting", priority: -100 },
      rules: (["udp", "tcp"] as const).map((name) => [
        enters,
        daddr(gateway, gateway.length * 8),
        protocol(name),
        destinationPort(DNS),
        dnat(resolver),
      ]),
    }]
    : [];
  return [...(ip ? [raw] : []), forward, postrouting, ...toResolver];
}

/** The name of the table with a container's published ports. */
export function publishedTable(id: string): string {
  return `sauropod-${id}`;
}

/**
 * Publishes ports of the container `id`, all with addresses of `family`, in a table that the socket owns. To be sent as
 * one batch.
 */
export function publishedRules(id: string, ports: readonly PublishedTarget[], family: "ip" | "ip6"): Message[] {
  const name = publishedTable(id);
  const rules = ports.flatMap(publish);
  const hooks = ["prerouting", "output"] as const;
  return [
    newTable({ family, name, owner: true }),
    ...chainMessages(
      family,
      name,
      hooks.map((hook) => ({ chain: hook, hook: { type: "nat", hook, priority: -100 }, rules })),
    ),
  ];
}

function publish({ protocol: name, hostAddress, hostPort, count, address, port }: PublishedTarget): RulePart[][] {
  const received = [hostAddress ? daddr(hostAddress, hostAddress.length * 8) : toThisMachine, protocol(name)];
  if (count > 1 && hostPort === port) {
    return [[...received, destinationPort(hostPort, hostPort + count - 1), dnat(address)]];
  }
  return Array.from({ length: count }, (_, i) => [...received, destinationPort(hostPort + i), dnat(address, port + i)]);
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

/** Lets a network's packets pass through somebody else's chain. The network's own rules still judge them. */
export function acceptRules({ family, table, chain }: ChainPlace, bridge: string): Message[] {
  return [oifname(bridge), iifname(bridge)].map((match) =>
    newRule({ family, table, chain, parts: [match, accept], comment: forwardComment(bridge), first: true })
  );
}
