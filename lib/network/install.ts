/**
 * Installs and removes the packet filter's rules of networks and published ports.
 *
 * @module
 */

import { forgetDatagrams } from "../../ffi/conntrack.ts";
import { NetlinkError, openNetlink, request, withNetlink } from "../../ffi/netlink.ts";
import { findTable, listChains, listRules } from "../../ffi/nftables.ts";
import { batch, deleteRule, deleteTable } from "../../ffi/nftables_changes.ts";
import type { Network } from "./definition.ts";
import { familyOf, forwardComment, type MissingRules } from "./filter.ts";
import type { PortMapping } from "./ports.ts";
import { acceptRules, networkRules, publishedRules, publishedTable, type PublishedTarget } from "./rules.ts";

/** Installs what is missing of a network's rules. */
export function install({ tables, chains }: MissingRules, bridge: string): void {
  const messages = [...tables.flatMap(networkRules), ...chains.flatMap((chain) => acceptRules(chain, bridge))];
  withNetlink("NETFILTER", (fd) => request(fd, batch(messages)));
}

/** Takes a network's rules away, also those in chains of others. */
export function removeRules({ bridge, subnets }: Network): void {
  withNetlink("NETFILTER", (fd) => {
    const foreign = listChains(fd).filter(({ base, table }) => base?.hook === "forward" && table !== bridge)
      .flatMap((chain) =>
        listRules(fd, chain).filter(({ comment }) => comment === forwardComment(bridge))
          .map(({ handle }) => deleteRule({ ...chain, handle }))
      );
    const own = subnets.map(({ gateway }) => familyOf(gateway)).filter((family) => findTable(fd, family, bridge))
      .map((family) => deleteTable(family, bridge));
    if (foreign.length + own.length > 0) request(fd, batch([...foreign, ...own]));
  });
}

/** What mappings mean for one of the container's addresses. */
export function targetsOf(mappings: readonly PortMapping[], address: Uint8Array): PublishedTarget[] {
  const applying = mappings.filter((mapping) => !mapping.address || mapping.address.length === address.length);
  return applying.map(({ protocol, address: hostAddress, host, container, count }) => ({
    protocol,
    ...(hostAddress && hostAddress.some((byte) => byte !== 0) ? { hostAddress } : {}),
    hostPort: host,
    count,
    address,
    port: container,
  }));
}

let owner: number | undefined;

/** The socket that owns this process's tables. It stays open: closing it makes the kernel wait for all its processors. */
function ownerSocket(): number {
  owner ??= openNetlink("NETFILTER");
  return owner;
}

const ENOENT = 2;

function unpublish(id: string, families: readonly ("ip" | "ip6")[]): void {
  for (const family of families) {
    try {
      request(ownerSocket(), batch([deleteTable(family, publishedTable(id))]));
    } catch (error) {
      // Somebody has flushed all rules.
      if (!(error instanceof NetlinkError) || error.errno !== ENOENT) throw error;
    }
  }
}

/**
 * Leads ports of the host to a container. The rules are in a table that belongs to a socket of this process: the kernel
 * removes it when the process ends, also because it was killed. Returns what removes them before.
 */
export function publish(id: string, mappings: readonly PortMapping[], addresses: readonly Uint8Array[]): () => void {
  const udp = mappings.filter(({ protocol }) => protocol === "udp");
  const ports = new Set(udp.flatMap(({ host, count }) => Array.from({ length: count }, (_, i) => host + i)));
  const made: ("ip" | "ip6")[] = [];
  const forget = (): void => {
    if (ports.size === 0) return;
    for (const { length } of addresses) forgetDatagrams(ports, length === 4 ? 4 : 6);
  };
  const close = (): void => {
    unpublish(id, made.splice(0));
    forget();
  };
  try {
    for (const address of addresses) {
      const targets = targetsOf(mappings, address);
      if (targets.length === 0) continue;
      request(ownerSocket(), batch(publishedRules(id, targets, familyOf(address))));
      made.push(familyOf(address));
    }
  } catch (error) {
    close();
    throw error;
  }
  forget();
  return close;
}
