/**
 * Bridge of a network on the host. Setting up a network that is up changes nothing, as for most containers.
 *
 * @module
 */

import { NetlinkError, withNetlink } from "../../ffi/netlink/netlink.ts";
import { findLink, type Link } from "../../ffi/netlink/rtnetlink.ts";
import { listAddresses } from "../../ffi/netlink/addresses.ts";
import { InputError, NetworkError } from "../errors.ts";
import { lazy } from "../lazy.ts";
import { type Cidr, formatCidr, networkOf, parseCidr, sameAddress } from "../text/address.ts";
import {
  checkHostAddress,
  DEFAULT_ADDRESS,
  defaultNetwork,
  type Network,
  networkNames,
  parseSubnet,
  readNetwork,
} from "./definition.ts";
import { installRules } from "./filter.ts";
import { DEFAULT_NETWORK } from "./selection.ts";
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

const EEXIST = 17;

/** Returns the default network as it is on this host, or as it is to be with the host at `wanted`. */
export function findDefaultNetwork(wanted?: string): Network {
  if (wanted !== undefined) {
    const given = parseCidr(wanted, "--bridge-addr");
    const subnet = parseSubnet(formatCidr(networkOf(given)), "--bridge-addr");
    checkHostAddress(subnet, given.address, "--bridge-addr");
    if (given.address.length === 4) return defaultNetwork(given);
    throw new InputError(`invalid --bridge-addr ${wanted}: expected an IPv4 address`, {
      code: "bad-address",
      facts: { value: wanted },
      hint: `create a network with IPv6: sauropod network create --ipv6 NAME`,
    });
  }
  const usual = defaultNetwork(parseCidr(DEFAULT_ADDRESS, ""));
  return withNetlink("ROUTE", (fd) => {
    const link = findLink(fd, usual.bridge);
    const present = link ? listAddresses(fd, link.index).find(({ address }) => address.length === 4) : undefined;
    const network = present ? defaultNetwork(present) : usual;
    return present && link?.kind === "bridge" ? { ...network, link } : network;
  });
}

/**
 * Returns the network called `name`.
 *
 * @throws {NetworkError} `network-not-found`.
 */
export function findNetwork(containers: string, name: string, bridgeAddress?: string): Network {
  const found = name === DEFAULT_NETWORK ? findDefaultNetwork(bridgeAddress) : readNetwork(containers, name);
  if (found) return found;
  throw new NetworkError(`no such network: ${name}`, {
    code: "network-not-found",
    facts: { name, networks: [DEFAULT_NETWORK, ...networkNames(containers)] },
    hint: `create it with: sauropod network create ${name}, or list networks with: sauropod network ls`,
  });
}

/** Returns the addresses that the host is to have on a network. */
export function wantedAddresses({ subnets }: Network): Cidr[] {
  return subnets.map(({ subnet, gateway }) => ({ address: gateway, prefix: subnet.prefix }));
}

/** Reports whether `list` has an address, with that prefix. */
export function isAmong(one: Cidr, list: readonly Cidr[]): boolean {
  return list.some(({ address, prefix }) => sameAddress(address, one.address) && prefix === one.prefix);
}

/** Returns a network's bridge if that has all its addresses. */
function findUp(network: Network): Link | undefined {
  return withNetlink("ROUTE", (fd) => {
    const link = findLink(fd, network.bridge);
    if (link?.kind !== "bridge") return undefined;
    const present = listAddresses(fd, link.index);
    return wantedAddresses(network).every((one) => isAmong(one, present)) ? link : undefined;
  });
}

/**
 * Sets a network up as far as it is not. Only one process at a time may do so.
 *
 * @throws {NetworkError} `subnet-taken`, `bridge-failed`.
 */
export async function bringUp(network: Network): Promise<Bridge> {
  try {
    const link = network.link ?? findUp(network) ?? (await lazy.bridgeSetup()).setUp(network);
    await installRules(network, hostResolver());
    return { network, index: link.index, mtu: link.mtu };
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    throw new NetworkError(`cannot set up network ${network.name}: ${error.message}`, {
      code: "bridge-failed",
      facts: { network: network.name, errno: error.code },
      hint: error.errno === EEXIST
        ? `another interface has the name ${network.bridge}`
        : "run sauropod doctor to see what is missing; or use --network none or --network host",
      cause: error,
    });
  }
}
