/**
 * The host's side of a network: its bridge, addresses, settings and rules. Setting one up that is up changes nothing.
 *
 * @module
 */

import { NetlinkError, request, withNetlink } from "../../ffi/netlink.ts";
import {
  deleteAddress,
  deleteLink,
  findLink,
  type Link,
  listAddresses,
  listLinks,
  listRoutes,
  newAddress,
  newBridge,
} from "../../ffi/rtnetlink.ts";
import { NetworkError } from "../errors.ts";
import { lazy } from "../lazy.ts";
import {
  addressAt,
  type Cidr,
  contains,
  formatAddress,
  formatCidr,
  networkOf,
  overlap,
  parseCidr,
  sameAddress,
} from "./address.ts";
import { checkHostAddress, DEFAULT_ADDRESS, defaultNetwork, type Network } from "./definition.ts";
import { installRules } from "./filter.ts";
import { hostResolver } from "./resolver.ts";

/** A network that is up. */
export interface Bridge {
  /** The network. */
  readonly network: Network;
  /** The index of its bridge; 0 if that has not been made. */
  readonly index: number;
  /** The largest packet in bytes. */
  readonly mtu: number;
}

const USUAL_MTU = 1500, EEXIST = 17;

function clash(message: string, facts: Record<string, unknown>, hint: string): NetworkError {
  return new NetworkError(message, { code: "subnet-taken", facts, hint });
}

/** The subnets that the host's routes lead to, but for those of the interface with the index `except`. */
export function routedSubnets(fd: number, except = 0): Cidr[] {
  const routes = [...listRoutes(fd, 4), ...listRoutes(fd, 6)];
  return routes.filter(({ prefix, oif }) => prefix > 0 && (oif !== except || oif === 0))
    .map(({ destination, prefix }) => ({ address: destination, prefix }));
}

/** The first of our subnets that overlaps none of `taken`. */
export function freeSubnet(taken: readonly Cidr[]): Cidr {
  const pool = parseCidr("10.0.0.0/8", "pool");
  const first = 10 * 256 + 11;
  for (let n = first; n < 1 << 16; n++) {
    const subnet = { address: addressAt(pool, BigInt(n) << 8n), prefix: 24 };
    if (!taken.some((other) => overlap(other, subnet))) return subnet;
  }
  throw clash("no subnet of 10.0.0.0/8 is free", {}, "name one: --subnet 172.20.0.0/24");
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
      `the network ${network.name} cannot have ${formatCidr(subnet)}: the host has a route to ${formatCidr(other)}`,
      { network: network.name, subnet: formatCidr(subnet), route: formatCidr(other), free },
      network.created
        ? `${free} is free: make the network again with --subnet ${free}`
        : `${free} is free: --bridge-addr ${formatAddress(addressAt(parseCidr(free, ""), 1n))}/24`,
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
  if (before !== value) Deno.writeTextFileSync(file, value);
}

/** A host that forwards IPv6 no longer listens to its routers, unless it is told to (accept_ra 2). */
function keepRouters(): void {
  if (Deno.readTextFileSync("/proc/sys/net/ipv6/conf/all/forwarding").trim() !== "0") return;
  for (const { name } of Deno.readDirSync("/proc/sys/net/ipv6/conf")) {
    const file = `/proc/sys/net/ipv6/conf/${name}/accept_ra`;
    if (Deno.readTextFileSync(file).trim() === "1") Deno.writeTextFileSync(file, "2");
  }
}

function configure({ bridge, subnets, internal }: Network): void {
  const six = subnets.some(({ gateway }) => gateway.length === 16);
  // Ports published on 127.0.0.1, and a resolver there, are reached through the bridge.
  setting(`ipv4/conf/${bridge}/route_localnet`, "1");
  setting(`ipv6/conf/${bridge}/accept_ra`, "0");
  setting(`ipv6/conf/${bridge}/disable_ipv6`, six ? "0" : "1");
  if (internal) return;
  setting("ipv4/ip_forward", "1");
  if (!six) return;
  keepRouters();
  setting("ipv6/conf/all/forwarding", "1");
}

function macOf(gateway: Uint8Array): Uint8Array {
  return Uint8Array.of(0x02, 0x53, ...gateway.slice(-4));
}

function makeBridge(fd: number, network: Network): Link {
  checkFree(fd, network, 0);
  const { bridge, subnets: [{ gateway }], mtu = uplinkMtu(fd) } = network;
  request(fd, [newBridge(bridge, macOf(gateway), mtu)]);
  const link = findLink(fd, bridge);
  if (!link) throw new NetworkError(`the bridge ${bridge} has vanished`, { code: "bridge-lost" });
  return link;
}

function address(fd: number, network: Network, link: Link): void {
  const present = listAddresses(fd, link.index);
  const wanted = network.subnets.map(({ subnet, gateway }) => ({ address: gateway, prefix: subnet.prefix }));
  const missing = wanted.filter((one) =>
    !present.some(({ address, prefix }) => sameAddress(address, one.address) && prefix === one.prefix)
  );
  if (missing.length === 0) return;
  checkFree(fd, network, link.index);
  const stale = present.filter((one) =>
    one.address.length === 4 && !wanted.some((other) => sameAddress(other.address, one.address))
  );
  configure(network);
  request(fd, [
    ...stale.map((one) => deleteAddress(one, `${formatCidr(one)} from ${link.name}`)),
    ...missing.map((one) => newAddress(link.index, one.address, one.prefix, `${link.name} ${formatCidr(one)}`)),
  ]);
}

/** The default network as it is on this host, or as it is to be with the host at `wanted`. */
export function findDefaultNetwork(wanted?: string): Network {
  if (wanted !== undefined) {
    const given = parseCidr(wanted, "--bridge-addr");
    checkHostAddress(networkOf(given), given.address, "--bridge-addr");
    return defaultNetwork(given);
  }
  const usual = defaultNetwork(parseCidr(DEFAULT_ADDRESS, ""));
  return withNetlink("ROUTE", (fd) => {
    const link = findLink(fd, usual.bridge);
    const present = link ? listAddresses(fd, link.index).find(({ address }) => address.length === 4) : undefined;
    return present ? defaultNetwork(present) : usual;
  });
}

/** A network as it is now, without changing anything. */
export function lookAtBridge(network: Network): Bridge {
  return withNetlink("ROUTE", (fd) => {
    const link = findLink(fd, network.bridge);
    if (link) return { network, index: link.index, mtu: link.mtu };
    checkFree(fd, network, 0);
    return { network, index: 0, mtu: network.mtu ?? uplinkMtu(fd) };
  });
}

/**
 * Sets a network up as far as it is not. Only one process at a time may do so.
 *
 * @throws {NetworkError} `subnet-taken`, `bridge-failed`.
 */
export async function bringUp(network: Network): Promise<Bridge> {
  try {
    const link = withNetlink("ROUTE", (fd) => {
      const found = findLink(fd, network.bridge) ?? makeBridge(fd, network);
      address(fd, network, found);
      return found;
    });
    await installRules(network, hostResolver());
    return { network, index: link.index, mtu: link.mtu };
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    throw new NetworkError(`the network ${network.name} cannot be set up: ${error.message}`, {
      code: "bridge-failed",
      facts: { network: network.name, errno: error.code },
      hint: error.errno === EEXIST
        ? `another interface has the name ${network.bridge}`
        : "sauropod doctor says what is missing; --network none and --network host do without",
      cause: error,
    });
  }
}

/** The names of the interfaces that are ports of a network's bridge. */
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

/** Whether an address lies in one of a network's subnets. */
export function isOn(network: Network, address: Uint8Array): boolean {
  return network.subnets.some(({ subnet }) => contains(subnet, address));
}
