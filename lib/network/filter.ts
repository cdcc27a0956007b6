/**
 * Installs the packet filter's rules of networks and published ports.
 *
 * @module
 */

import { close } from "../../ffi/fs.ts";
import { forgetDatagrams } from "../../ffi/conntrack.ts";
import { type Message, openNetlink, request, withNetlink } from "../../ffi/netlink.ts";
import { batch, deleteRule, deleteTable, type Family, findTable, listChains, listRules } from "../../ffi/nftables.ts";
import type { Network, Subnet } from "./definition.ts";
import type { PortMapping } from "./ports.ts";
import {
  acceptRules,
  droppingChains,
  forwardComment,
  networkRules,
  publishedRules,
  type RuledNetwork,
  rulesComment,
} from "./rules.ts";

function familyOf({ gateway }: Subnet): "ip" | "ip6" {
  return gateway.length === 4 ? "ip" : "ip6";
}

function ruled({ bridge, internal }: Network, { subnet, gateway }: Subnet, resolver?: Uint8Array): RuledNetwork {
  return { bridge, internal, subnet, gateway, ...(resolver && gateway.length === 4 ? { resolver } : {}) };
}

/** Rules of ours in chains of others that drop what is forwarded: without them nothing would get through (Docker). */
function missingAccepts(fd: number, { bridge, internal }: Network): Message[] {
  if (internal) return [];
  return droppingChains(listChains(fd)).flatMap((chain) => {
    const present = listRules(fd, chain)
      .filter(({ comment }) => comment === forwardComment(bridge));
    return present.length > 0 ? [] : acceptRules(chain, bridge);
  });
}

/** Installs a network's rules where they are not installed. */
export function installRules(network: Network, resolver?: Uint8Array): void {
  withNetlink("NETFILTER", (fd) => {
    const missing = network.subnets.flatMap((subnet) => {
      const one = ruled(network, subnet, resolver);
      const present = findTable(fd, familyOf(subnet), network.bridge)?.comment === rulesComment(one);
      return present ? [] : networkRules(one);
    });
    const messages = [...missing, ...missingAccepts(fd, network)];
    if (messages.length > 0) request(fd, batch(messages));
  });
}

/** Takes a network's rules away, also those in chains of others. */
export function removeRules({ bridge, subnets }: Network): void {
  withNetlink("NETFILTER", (fd) => {
    const foreign = listChains(fd).filter(({ base, table }) => base?.hook === "forward" && table !== bridge)
      .flatMap((chain) =>
        listRules(fd, chain).filter(({ comment }) => comment === forwardComment(bridge))
          .map(({ handle }) => deleteRule({ ...chain, handle }))
      );
    const own = subnets.map(familyOf).filter((family) => findTable(fd, family, bridge))
      .map((family) => deleteTable(family, bridge));
    if (foreign.length + own.length > 0) request(fd, batch([...foreign, ...own]));
  });
}

/**
 * Leads ports of the host to a container. The rules are in a table that belongs to a socket: the kernel removes it when
 * that is closed, also because its process was killed.
 */
export function publish(id: string, mappings: readonly PortMapping[], addresses: readonly Uint8Array[]): () => void {
  const fd = openNetlink("NETFILTER");
  const udp = mappings.filter(({ protocol }) => protocol === "udp");
  const ports = new Set(udp.flatMap(({ host, count }) => Array.from({ length: count }, (_, i) => host + i)));
  const forget = (): void => {
    if (ports.size === 0) return;
    for (const { length } of addresses) forgetDatagrams(ports, length === 4 ? 4 : 6);
  };
  try {
    for (const address of addresses) {
      const family: Family = address.length === 4 ? "ip" : "ip6";
      const targets = mappings.filter((mapping) => !mapping.address || mapping.address.length === address.length)
        .map(({ protocol, address: hostAddress, host, container, count }) => ({
          protocol,
          ...(hostAddress && hostAddress.some((byte) => byte !== 0) ? { hostAddress } : {}),
          hostPort: host,
          count,
          address,
          port: container,
        }));
      if (targets.length > 0) request(fd, batch(publishedRules(id, targets, family)));
    }
  } catch (error) {
    close(fd);
    throw error;
  }
  forget();
  return () => {
    close(fd);
    forget();
  };
}
