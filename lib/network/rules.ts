/**
 * nftables rules of networks and published ports, as data.
 *
 * @module
 */

import type { Message } from "../../ffi/netlink/netlink.ts";
import type { ChainPlace, Family } from "../../ffi/netlink/nftables.ts";
import { deleteTable, type Hook, newChain, newRule, newTable } from "../../ffi/netlink/nftables_changes.ts";
import {
  accept,
  connectionState,
  daddr,
  destinationPort,
  dnat,
  drop,
  iifname,
  masquerade,
  oifkind,
  oifname,
  protocol,
  type RulePart,
  saddr,
  toThisMachine,
  wasDnat,
} from "../../ffi/netlink/nftables_expressions.ts";
import { familyOf, forwardComment, type RuledNetwork, rulesComment } from "./filter.ts";

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

const LOOPBACK: readonly [Uint8Array, number] = [Uint8Array.of(127, 0, 0, 0), 8];
const DNS = 53;

function chainMessages(family: Family, table: string, chains: readonly RuledChain[]): Message[] {
  return chains.flatMap(({ chain, hook, rules }) => [
    newChain({ family, table, chain, hook }),
    ...rules.map((parts) => newRule({ family, table, chain, parts })),
  ]);
}

/**
 * Makes the rules of a network, in place of those that it has. To be sent as one batch. `outside` names the host's
 * bridges that lead to other machines: the others belong to virtual machines and other engines' containers.
 */
export function networkRules(network: RuledNetwork, outside: readonly string[] = []): Message[] {
  const family = familyOf(network.subnet.address), name = network.bridge;
  return [
    newTable({ family, name }),
    deleteTable(family, name),
    newTable({ family, name, comment: rulesComment(network) }),
    ...chainMessages(family, name, networkChains(network, outside)),
  ];
}

function networkChains(network: RuledNetwork, outside: readonly string[]): RuledChain[] {
  const { bridge, subnet, gateway, internal, resolver } = network;
  const ip = familyOf(subnet.address) === "ip";
  const enters = iifname(bridge), entersElsewhere = iifname(bridge, true);
  const leaves = oifname(bridge), leavesElsewhere = oifname(bridge, true);
  const inside = saddr(subnet.address, subnet.prefix), foreign = saddr(subnet.address, subnet.prefix, true);
  const answers = connectionState("established", "related");

  const raw: RuledChain = {
    chain: "raw",
    hook: { type: "filter", hook: "prerouting", priority: -300 },
    // Packets to published ports of the host's loopback are routed: none from the network may get there
    // (CVE-2020-8558),
    // and none may be spoofed from there or from another source that the host trusts.
    rules: [[enters, daddr(...LOOPBACK), drop], [enters, foreign, drop]],
  };
  const forward: RuledChain = {
    chain: "forward",
    hook: { type: "filter", hook: "forward", priority: 0 },
    rules: internal ? [[enters, leavesElsewhere, drop], [leaves, entersElsewhere, drop]] : [
      // Between siblings, which guard.ts judges. They are only seen here where br_netfilter is there.
      [enters, leaves, accept],
      [enters, foreign, drop],
      [leaves, answers, accept],
      [leaves, wasDnat, accept],
      [leaves, drop],
      // On another engine's bridge only replies and its published ports are reachable, whatever its own rules say.
      [enters, answers, accept],
      [enters, wasDnat, accept],
      [enters, oifkind("bridge"), ...outside.map((name) => oifname(name, true)), drop],
    ],
  };
  // Services of the host are unreachable, except the gateway's replies and ICMP to it.
  const input: RuledChain = {
    chain: "input",
    hook: { type: "filter", hook: "input", priority: 0 },
    rules: [[enters, answers, accept], [enters, protocol(ip ? "icmp" : "ipv6-icmp"), accept], [enters, drop]],
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
  return [...(ip ? [raw] : []), ...(internal ? [input] : []), forward, postrouting, ...toResolver];
}

/** Returns the name of the table with a container's published ports. */
export function publishedTable(id: string): string {
  return `sauropod-${id}`;
}

/**
 * Publishes ports of the container `id`, all with addresses of `family`, in a table that the socket owns. To be sent as
 * one batch.
 */
export function publishedRules(id: string, ports: readonly PublishedTarget[], family: "ip" | "ip6"): Message[] {
  const name = publishedTable(id);
  // Packets from other machines to this one's loopback must stay unchanged, so that the kernel drops them.
  const chains = [["prerouting", ports.filter((port) => !isOnLoopback(port))], ["output", ports]] as const;
  return [
    newTable({ family, name, owner: true }),
    ...chainMessages(
      family,
      name,
      chains.map(([hook, targets]) => ({
        chain: hook,
        hook: { type: "nat", hook, priority: -100 },
        rules: targets.flatMap(publish),
      })),
    ),
  ];
}

function isOnLoopback({ hostAddress }: PublishedTarget): boolean {
  return hostAddress?.length === 4 && hostAddress[0] === LOOPBACK[0][0];
}

function publish({ protocol: name, hostAddress, hostPort, count, address, port }: PublishedTarget): RulePart[][] {
  const received = [hostAddress ? daddr(hostAddress, hostAddress.length * 8) : toThisMachine, protocol(name)];
  if (count > 1 && hostPort === port) {
    return [[...received, destinationPort(hostPort, hostPort + count - 1), dnat(address)]];
  }
  return Array.from({ length: count }, (_, i) => [...received, destinationPort(hostPort + i), dnat(address, port + i)]);
}

/**
 * Accepts a network's packets in a chain of other software, in place of its policy: after all its rules, so that
 * packets which those drop stay dropped. The network's own rules still apply.
 */
export function acceptRules({ family, table, chain }: ChainPlace, bridge: string): Message[] {
  return [iifname(bridge), oifname(bridge)].map((match) =>
    newRule({ family, table, chain, parts: [match, accept], comment: forwardComment(bridge) })
  );
}
