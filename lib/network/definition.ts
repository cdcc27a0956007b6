/**
 * Network definitions: one file each in the directory of containers, `.networks/NAME.json`.
 *
 * @module
 */

import type { Link } from "../../ffi/netlink/rtnetlink.ts";
import { readOwnFile, removeAny, replaceFile } from "../../ffi/fs/paths.ts";
import { namesIn } from "../host/sample.ts";
import { InputError, messageOf, NetworkError } from "../errors.ts";
import {
  addressAt,
  type Cidr,
  contains,
  formatAddress,
  formatCidr,
  networkOf,
  parseAddress,
  parseCidr,
} from "../text/address.ts";
import { DEFAULT_NETWORK } from "./selection.ts";

/** A subnet and the host's address in it. */
export interface Subnet {
  /** The subnet: all bits behind the prefix are 0. */
  readonly subnet: Cidr;
  /** The host's address, by which containers reach everything else. */
  readonly gateway: Uint8Array;
}

/** A network. */
export interface Network {
  /** Its name. */
  readonly name: string;
  /** The name of its bridge on the host. */
  readonly bridge: string;
  /** Its subnets: IPv4, and IPv6 if it has that too. */
  readonly subnets: readonly [Subnet, ...Subnet[]];
  /** The largest packet in bytes. Default: the uplink's. */
  readonly mtu?: number;
  /** Whether it leads nowhere but between its containers. */
  readonly internal: boolean;
  /** When it was made, as an ISO 8601 time. Default: it was not, as it is always there. */
  readonly created?: string;
  /** Its bridge, if it was found with its addresses. Default: unknown. */
  readonly link?: Link;
}

/** Options of `network create`. */
export interface NetworkOptions {
  /** Its subnets as `ADDRESS/PREFIX`, at most one of IPv4 and one of IPv6. Default: a free one of IPv4. */
  subnets?: readonly string[];
  /** The host's addresses in them. Default: the first of each. */
  gateways?: readonly string[];
  /** The largest packet in bytes, 68 to 65535. Default: the uplink's. */
  mtu?: number;
  /** Lead nowhere but between its containers; the host reaches them. Default: false. */
  internal?: boolean;
  /** Give it an IPv6 subnet too, a random one of fd00::/8 unless one is named. Default: false. */
  ipv6?: boolean;
}

/** The address of the host on the default network, unless it has been given another one. */
export const DEFAULT_ADDRESS = "10.10.10.1/24";

/** Returns the default network with the host at `address`. */
export function defaultNetwork(address: Cidr): Network {
  return {
    name: DEFAULT_NETWORK,
    bridge: DEFAULT_NETWORK,
    subnets: [{ subnet: networkOf(address), gateway: address.address }],
    internal: false,
  };
}

/**
 * Checks that an address can be the host's or a container's in a subnet.
 *
 * @throws {InputError} `bad-address`.
 */
export function checkHostAddress(subnet: Cidr, address: Uint8Array, what: string): void {
  const refuse = (why: string): never => {
    throw new InputError(`invalid ${what} ${formatAddress(address)}: ${why}`, {
      code: "bad-address",
      facts: { address: formatAddress(address), subnet: formatCidr(subnet) },
    });
  };
  if (!contains(subnet, address)) refuse(`not in subnet ${formatCidr(subnet)}`);
  const host = formatAddress(address);
  const last = addressAt(subnet, (1n << BigInt(subnet.address.length * 8 - subnet.prefix)) - 1n);
  if (host === formatAddress(subnet.address)) refuse(`it is the network address of ${formatCidr(subnet)}`);
  if (subnet.address.length === 4 && host === formatAddress(last)) refuse("it is the subnet's broadcast address");
}

/**
 * Returns a subnet that is large enough and has no bits behind its prefix.
 *
 * @throws {InputError} `bad-address`.
 */
export function parseSubnet(text: string, what: string): Cidr {
  const given = parseCidr(text, what);
  const subnet = networkOf(given);
  const bits = subnet.address.length * 8;
  const refuse = (why: string, hint: string): never => {
    throw new InputError(`invalid ${what} ${text}: ${why}`, { code: "bad-address", facts: { value: text }, hint });
  };
  if (formatCidr(given) !== formatCidr(subnet)) {
    refuse("it has host bits set", `use ${formatCidr(subnet)}`);
  }
  if (subnet.prefix < 8 || subnet.prefix > bits - 2) {
    refuse("unsupported prefix length", `use a prefix of /8 to /${bits - 2}`);
  }
  const [first = 0] = subnet.address;
  if (bits === 32 && (first === 0 || first === 127 || first >= 224)) {
    refuse("reserved range", "use a subnet of 10.0.0.0/8");
  }
  if (bits === 128 && (first === 0xff || first === 0)) refuse("reserved range", "use a subnet of fd00::/8");
  return subnet;
}

function fileOf(containers: string, name: string): string {
  return `${containers}/.networks/${name}.json`;
}

interface StoredNetwork {
  readonly name: string;
  readonly bridge: string;
  readonly subnets: readonly { subnet: string; gateway: string }[];
  readonly mtu?: number;
  readonly internal: boolean;
  readonly created: string;
}

function isSubnet(value: unknown): boolean {
  return typeof value === "object" && value !== null && "subnet" in value && typeof value.subnet === "string" &&
    "gateway" in value && typeof value.gateway === "string";
}

// Names of interfaces: rules are made, and links removed, of this one.
const BRIDGE = /^sp-[0-9a-f]{8}$/, NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;

function isStored(value: unknown, name: string): value is StoredNetwork {
  return typeof value === "object" && value !== null && "name" in value && value.name === name &&
    "bridge" in value && typeof value.bridge === "string" && BRIDGE.test(value.bridge) &&
    "subnets" in value && Array.isArray(value.subnets) && value.subnets.every(isSubnet) &&
    "internal" in value && typeof value.internal === "boolean" &&
    (!("created" in value) || typeof value.created === "string") &&
    (!("mtu" in value) || Number.isSafeInteger(value.mtu));
}

/** Keeps a network's definition. */
export function writeNetwork(containers: string, network: Network): void {
  const stored = {
    ...network,
    subnets: network.subnets.map(({ subnet, gateway }) => ({
      subnet: formatCidr(subnet),
      gateway: formatAddress(gateway),
    })),
  };
  Deno.mkdirSync(`${containers}/.networks`, { recursive: true, mode: 0o700 });
  replaceFile(fileOf(containers, network.name), JSON.stringify(stored, null, 2) + "\n");
}

/** Forgets a network's definition. */
export function removeNetworkFile(containers: string, name: string): void {
  removeAny(fileOf(containers, name));
}

/** Converts a stored definition; returns undefined if one of its fields is invalid. */
function networkOfStored(stored: StoredNetwork, path: string): Network | undefined {
  const subnets = stored.subnets.flatMap(({ subnet, gateway }): Subnet[] => {
    const address = parseAddress(gateway), parsed = parseSubnet(subnet, path);
    if (!address || !contains(parsed, address)) return [];
    return [{ subnet: parsed, gateway: address }];
  });
  const [first, ...others] = subnets;
  return first && subnets.length === stored.subnets.length ? { ...stored, subnets: [first, ...others] } : undefined;
}

/**
 * Reads a network's definition; undefined if there is none.
 *
 * @throws {NetworkError} `bad-record` if the file is damaged.
 */
export function readNetwork(containers: string, name: string): Network | undefined {
  const path = fileOf(containers, name);
  let why = "its fields are not those of a network";
  try {
    const text = readOwnFile(path);
    if (text === undefined) return undefined;
    const value: unknown = JSON.parse(text);
    const network = isStored(value, name) ? networkOfStored(value, path) : undefined;
    if (network) return network;
  } catch (error) {
    why = messageOf(error);
  }
  throw new NetworkError(`cannot read network ${name}: damaged record ${path}: ${why}`, {
    code: "bad-record",
    facts: { path, name },
    hint: `remove it with: sauropod network rm ${name}`,
  });
}

/** Returns the name of the bridge that a damaged definition still tells; undefined if it does not. */
export function bridgeOfDamaged(containers: string, name: string): string | undefined {
  try {
    return /"(sp-[0-9a-f]{8})"/.exec(readOwnFile(fileOf(containers, name)) ?? "")?.[1];
  } catch {
    return undefined;
  }
}

/** Returns the networks that were made, by name. The error of a damaged one goes to `damaged`. */
export function readNetworks(containers: string, damaged: (error: NetworkError) => void = () => {}): Network[] {
  return networkNames(containers).flatMap((name) => {
    try {
      return readNetwork(containers, name) ?? [];
    } catch (error) {
      if (!(error instanceof NetworkError)) throw error;
      damaged(error);
      return [];
    }
  });
}

/** Returns the names of all networks that were made. */
export function networkNames(containers: string): string[] {
  return namesIn(`${containers}/.networks`).filter((name) => name.endsWith(".json"))
    .map((name) => name.slice(0, -".json".length)).filter((name) => NAME.test(name)).sort();
}
