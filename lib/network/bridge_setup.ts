/**
 * Set-up and teardown of a network's bridge, addresses and sysctls on the host.
 *
 * @module
 */

import { type Message, request, withNetlink } from "../../ffi/netlink/netlink.ts";
import { listRoutes } from "../../ffi/netlink/routes.ts";
import { deleteLink, findLink, learnLess, type Link, listLinks, newBridge } from "../../ffi/netlink/rtnetlink.ts";
import { deleteAddress, listAddresses, newAddress } from "../../ffi/netlink/addresses.ts";
import { messageOf, NetworkError } from "../errors.ts";
import { lazy } from "../lazy.ts";
import { addressAt, type Cidr, formatAddress, formatCidr, overlap, parseCidr } from "../text/address.ts";
import { type Bridge, isAmong, wantedAddresses } from "./bridge.ts";
import type { Network } from "./definition.ts";
import { macOf } from "./leases.ts";

const USUAL_MTU = 1500;

function clash(message: string, facts: Record<string, unknown>, hint: string): NetworkError {
  return new NetworkError(message, { code: "subnet-taken", facts, hint });
}

/** Returns the subnets of the host's routes, except those of the interface with index `except`. */
export function routedSubnets(fd: number, except = 0): Cidr[] {
  const routes = [...listRoutes(fd, 4), ...listRoutes(fd, 6)];
  return routes.filter(({ prefix, oif }) => prefix > 0 && (oif !== except || oif === 0))
    .map(({ destination, prefix }) => ({ address: destination, prefix }));
}

/** Returns the first subnet of the pool that overlaps none of `taken`. */
export function freeSubnet(taken: readonly Cidr[]): Cidr {
  const pool = parseCidr("10.0.0.0/8", "pool");
  const first = 10 * 256 + 11;
  for (let n = first; n < 1 << 16; n++) {
    const subnet = { address: addressAt(pool, BigInt(n) << 8n), prefix: 24 };
    if (!taken.some((other) => overlap(other, subnet))) return subnet;
  }
  throw clash("cannot choose a subnet: none of 10.0.0.0/8 is free", {}, "name one, such as --subnet 172.20.0.0/24");
}

/**
 * Checks that nothing else of the host's lies in a network's subnets.
 *
 * @throws {NetworkError} `subnet-taken`.
 */
function checkFree(fd: number, network: Network, own: number): void {
  const taken = routedSubnets(fd, own);
  for (const { subnet } of network.subnets) {
    const other = taken.find((route) => overlap(route, subnet));
    if (!other) continue;
    const free = formatCidr(freeSubnet(taken));
    throw clash(
      `cannot use ${formatCidr(subnet)} for network ${network.name}: the host has a route to ${formatCidr(other)}`,
      { network: network.name, subnet: formatCidr(subnet), route: formatCidr(other), free },
      network.created
        ? `recreate the network with the free subnet: --subnet ${free}`
        : `use a free one: --bridge-addr ${formatAddress(addressAt(parseCidr(free, ""), 1n))}/24`,
    );
  }
}

function uplinkMtu(fd: number): number {
  const routes = listRoutes(fd, 4).filter(({ prefix, oif }) => prefix === 0 && oif > 0);
  const [best] = routes.sort((a, b) => a.priority - b.priority);
  return (best && findLink(fd, best.oif)?.mtu) ?? USUAL_MTU;
}

function setting(path: string, value: string): void {
  const file = `/proc/sys/net/${path}`;
  let before: string;
  try {
    before = Deno.readTextFileSync(file).trim();
  } catch (error) {
    // A kernel without IPv6 has none of its settings.
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  if (before === value) return;
  try {
    Deno.writeTextFileSync(file, value);
  } catch (error) {
    throw new NetworkError(`cannot write ${value} to ${file}: ${messageOf(error)}`, {
      code: "bridge-failed",
      facts: { file, value },
      hint: "make /proc/sys/net writable, or use --network none or --network host",
      cause: error,
    });
  }
}

/** Returns a host that forwards IPv6 no longer listens to its routers, unless it is told to (accept_ra 2). */
function keepRouters(): void {
  if (Deno.readTextFileSync("/proc/sys/net/ipv6/conf/all/forwarding").trim() !== "0") return;
  for (const { name } of Deno.readDirSync("/proc/sys/net/ipv6/conf")) {
    const file = `/proc/sys/net/ipv6/conf/${name}/accept_ra`;
    if (Deno.readTextFileSync(file).trim() === "1") Deno.writeTextFileSync(file, "2");
  }
}

function hasIpv6({ subnets }: Network): boolean {
  return subnets.some(({ gateway }) => gateway.length === 16);
}

/** A sysctl below /proc/sys/net, and its value. */
export type Setting = readonly [path: string, value: string];

/** Returns the sysctls of a network. */
export function settingsOf(network: Network): Setting[] {
  const { bridge, internal } = network;
  const six = hasIpv6(network);
  const forwarding: Setting[] = [
    ["ipv4/ip_forward", "1"],
    ...(six ? [["ipv6/conf/all/forwarding", "1"] as const] : []),
  ];
  return [
    // Ports published on 127.0.0.1, and a resolver there, are reached through the bridge.
    [`ipv4/conf/${bridge}/route_localnet`, "1"],
    [`ipv6/conf/${bridge}/accept_ra`, "0"],
    [`ipv6/conf/${bridge}/disable_ipv6`, six ? "0" : "1"],
    ...(internal ? [] : forwarding),
  ];
}

function configure(network: Network): void {
  if (hasIpv6(network) && !network.internal) keepRouters();
  for (const [path, value] of settingsOf(network)) setting(path, value);
}

/** Returns the messages that make a network's bridge. */
export function bridgeMessages({ bridge, subnets: [{ gateway }] }: Network, mtu: number): Message[] {
  return [newBridge(bridge, macOf(gateway), mtu), learnLess(bridge)];
}

/** Returns the messages that give the host its addresses on a network. */
export function addressMessages({ bridge, subnets }: Network, index: number): Message[] {
  return subnets.map(({ subnet: { prefix }, gateway }) =>
    newAddress(index, gateway, prefix, `${bridge} ${formatCidr({ address: gateway, prefix })}`)
  );
}

function makeBridge(fd: number, network: Network): Link {
  checkFree(fd, network, 0);
  const { bridge, mtu = uplinkMtu(fd) } = network;
  request(fd, bridgeMessages(network, mtu));
  const link = findLink(fd, bridge);
  if (!link) throw new NetworkError(`cannot find bridge ${bridge} after its creation`, { code: "bridge-lost" });
  return link;
}

function giveAddresses(fd: number, network: Network, link: Link): void {
  checkFree(fd, network, link.index);
  const wanted = wantedAddresses(network);
  const stale = listAddresses(fd, link.index).filter((one) => one.address.length === 4 && !isAmong(one, wanted));
  configure(network);
  request(fd, [
    ...stale.map((one) => deleteAddress(one, `${formatCidr(one)} from ${link.name}`)),
    ...addressMessages(network, link.index),
  ]);
}

function notABridge({ name, bridge }: Network): NetworkError {
  return new NetworkError(`cannot set up network ${name}: interface ${bridge} is not a bridge`, {
    code: "bridge-failed",
    facts: { name, bridge },
    hint: "remove or rename it with ip link",
  });
}

/** Creates a network's bridge if missing, and adds missing addresses. */
export function setUp(network: Network): Link {
  return withNetlink("ROUTE", (fd) => {
    const link = findLink(fd, network.bridge) ?? makeBridge(fd, network);
    if (link.kind !== "bridge") throw notABridge(network);
    giveAddresses(fd, network, link);
    return link;
  });
}

/** Returns a network as it is now, without changing anything. */
export function lookAtBridge(network: Network): Bridge {
  return withNetlink("ROUTE", (fd) => {
    const link = findLink(fd, network.bridge);
    if (link) return { network, index: link.index, mtu: link.mtu };
    checkFree(fd, network, 0);
    return { network, index: 0, mtu: network.mtu ?? uplinkMtu(fd) };
  });
}

/** Returns the names of the interfaces that are ports of a network's bridge. */
export function portsOf(network: Network): string[] {
  return withNetlink("ROUTE", (fd) => {
    const link = findLink(fd, network.bridge);
    return link ? listLinks(fd, link.index).map(({ name }) => name) : [];
  });
}

/** Takes a network's bridge and rules away. */
export async function tearDown(network: Network): Promise<void> {
  const { removeRules } = await lazy.networkInstall();
  removeRules(network);
  withNetlink("ROUTE", (fd) => {
    const link = findLink(fd, network.bridge);
    if (link) request(fd, [deleteLink(link.index, link.name)]);
  });
}
