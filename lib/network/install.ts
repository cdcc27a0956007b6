/**
 * Installation and removal of nftables rules of networks and published ports.
 *
 * @module
 */

import { forgetDatagrams } from "../../ffi/netlink/conntrack.ts";
import { NetlinkError, openNetlink, request, withNetlink } from "../../ffi/netlink/netlink.ts";
import { findTable, listChains, listRules } from "../../ffi/netlink/nftables.ts";
import { batch, deleteRule, deleteTable } from "../../ffi/netlink/nftables_changes.ts";
import { listLinks } from "../../ffi/netlink/rtnetlink.ts";
import { NetworkError } from "../errors.ts";
import type { Network } from "./definition.ts";
import { familyOf, forwardComment, type MissingRules } from "./filter.ts";
import type { PortMapping } from "./ports.ts";
import { acceptRules, networkRules, publishedRules, publishedTable, type PublishedTarget } from "./rules.ts";

// Bridge ports that lead to other machines. Hardware has no kind.
const WIRES: readonly string[] = ["", "bond", "team", "vlan"];

/**
 * Returns the names of the host's bridges that lead to other machines. All others lead to virtual machines and
 * containers.
 */
export function outsideBridges(uplink: string): string[] {
  const links = withNetlink("ROUTE", (fd) => listLinks(fd));
  const wired = new Set(links.filter(({ kind }) => WIRES.includes(kind)).map(({ master }) => master));
  return links.filter(({ kind, index, name }) => kind === "bridge" && (wired.has(index) || name === uplink))
    .map(({ name }) => name);
}

/** Installs the missing rules of a network. */
export function install({ tables, chains }: MissingRules, bridge: string): void {
  const messages = [
    ...tables.flatMap((table) => networkRules(table, outsideBridges(table.uplink))),
    ...chains.flatMap((chain) => [
      ...chain.misplaced.map(({ handle }) => deleteRule({ ...chain, handle })),
      ...acceptRules(chain, bridge),
    ]),
  ];
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
    const families = [...subnets.map(({ gateway }) => familyOf(gateway)), "bridge"] as const;
    const own = families.filter((family) => findTable(fd, family, bridge))
      .map((family) => deleteTable(family, bridge));
    if (foreign.length + own.length > 0) request(fd, batch([...foreign, ...own]));
  });
}

/** Resolves port mappings to one of the container's addresses. */
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

/**
 * Returns the socket that owns this process's tables. It stays open: closing it makes the kernel wait for all its
 * processors.
 */
function ownerSocket(): number {
  owner ??= openNetlink("NETFILTER");
  return owner;
}

/** Removes rules, ignoring failures: they end with this process, and must not hide a container's end. */
function asFarAsPossible(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
  }
}

function datagramPorts(mappings: readonly PortMapping[]): ReadonlySet<number> {
  const udp = mappings.filter(({ protocol }) => protocol === "udp");
  return new Set(udp.flatMap(({ host, count }) => Array.from({ length: count }, (_, i) => host + i)));
}

/**
 * Forwards host ports to a container. The rules are in a table owned by `socket`, by default one of this process: the
 * kernel removes it with the last process that holds the socket, even if killed. Returns a function that removes the
 * rules earlier.
 *
 * @throws {NetworkError} `publish-failed`. No port is forwarded then.
 */
export function publish(
  id: string,
  mappings: readonly PortMapping[],
  addresses: readonly Uint8Array[],
  socket: number = ownerSocket(),
): () => void {
  const ports = datagramPorts(mappings);
  const made: ("ip" | "ip6")[] = [];
  const forget = (): void => {
    if (ports.size === 0) return;
    for (const { length } of addresses) asFarAsPossible(() => forgetDatagrams(ports, length === 4 ? 4 : 6));
  };
  const close = (): void => {
    for (const family of made.splice(0)) {
      asFarAsPossible(() => request(socket, batch([deleteTable(family, publishedTable(id))])));
    }
    forget();
  };
  try {
    for (const address of addresses) {
      const targets = targetsOf(mappings, address);
      if (targets.length === 0) continue;
      request(socket, batch(publishedRules(id, targets, familyOf(address))));
      made.push(familyOf(address));
    }
  } catch (error) {
    close();
    if (!(error instanceof NetlinkError)) throw error;
    throw new NetworkError(`cannot publish ports: ${error.message}`, {
      code: "publish-failed",
      facts: { id, errno: error.code },
      hint: "use Linux 5.12 or later with nf_tables; run sauropod doctor to see what is missing",
      cause: error,
    });
  }
  forget();
  return close;
}
