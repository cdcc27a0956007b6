/**
 * `network create`, `inspect`, `ls`, `rm` and `prune`.
 *
 * @module
 */

import { withNetlink } from "../../ffi/netlink/netlink.ts";
import { randomBytes } from "../../ffi/process/random.ts";
import { findLink } from "../../ffi/netlink/rtnetlink.ts";
import { isAlive, isUnseen } from "../host/process_identity.ts";
import { InputError, NetworkError } from "../errors.ts";
import { waitUntil } from "../host/poll.ts";
import { findFolders, type FolderOptions } from "../host/folders.ts";
import { addressAt, type Cidr, formatAddress, formatCidr, overlap, parseAddress } from "../text/address.ts";
import { findNetwork } from "./bridge.ts";
import { bringUp } from "./bridge.ts";
import { freeSubnet, portsOf, routedSubnets, tearDown } from "./bridge_setup.ts";
import {
  bridgeOfDamaged,
  checkHostAddress,
  type Network,
  networkNames,
  type NetworkOptions,
  parseSubnet,
  readNetwork,
  readNetworks,
  removeNetworkFile,
  type Subnet,
  writeNetwork,
} from "./definition.ts";
import { guard } from "./guard.ts";
import { type Lease, lockNetworks, readLeases } from "./leases.ts";
import { DEFAULT_NETWORK, networkName } from "./selection.ts";

/** A network and its containers. */
export interface NetworkInfo {
  /** Its name. */
  readonly name: string;
  /** The name of its bridge on the host. */
  readonly bridge: string;
  /** Its subnets and the host's address in each. */
  readonly subnets: readonly { readonly subnet: string; readonly gateway: string }[];
  /** The largest packet in bytes; undefined until it is set up. */
  readonly mtu?: number;
  /** Whether it leads nowhere but between its containers. */
  readonly internal: boolean;
  /** Whether its bridge is there. It is set up when a container needs it. */
  readonly up: boolean;
  /** When it was made, as an ISO 8601 time. Default: it was not, as it is always there. */
  readonly created?: string;
  /** The containers on it. */
  readonly containers: readonly {
    readonly id: string;
    readonly addresses: readonly string[];
    readonly names: readonly string[];
  }[];
}

const RESERVED = ["none", "host", "container", DEFAULT_NETWORK];
const SMALLEST_MTU = 68, SMALLEST_MTU_6 = 1280, LARGEST_MTU = 65535;

function checkMtu({ mtu, subnets }: Network): void {
  const least = subnets.length > 1 ? SMALLEST_MTU_6 : SMALLEST_MTU;
  if (mtu === undefined || (Number.isInteger(mtu) && mtu >= least && mtu <= LARGEST_MTU)) return;
  throw new InputError(`invalid MTU ${mtu}`, {
    code: "bad-mtu",
    facts: { mtu },
    hint: `use ${least} to ${LARGEST_MTU} bytes`,
  });
}

function randomSubnet6(): Cidr {
  const address = new Uint8Array(16);
  address.set(randomBytes(7), 1);
  address[0] = 0xfd;
  return { address, prefix: 64 };
}

function chooseSubnets({ subnets = [], ipv6 = false }: NetworkOptions, taken: readonly Cidr[]): [Cidr, ...Cidr[]] {
  const given = subnets.map((text) => parseSubnet(text, "--subnet"));
  const four = given.filter(({ address }) => address.length === 4);
  const six = given.filter(({ address }) => address.length === 16);
  if (four.length > 1 || six.length > 1) {
    throw new InputError("invalid subnets: a network has one IPv4 subnet and at most one IPv6 subnet", {
      code: "bad-address",
    });
  }
  const [first = freeSubnet(taken)] = four;
  return [first, ...six, ...(ipv6 && six.length === 0 ? [randomSubnet6()] : [])];
}

function chooseGateways(subnets: readonly [Cidr, ...Cidr[]], texts: readonly string[] = []): [Subnet, ...Subnet[]] {
  const gateways = texts.map((text) => {
    const address = parseAddress(text);
    if (address && subnets.some((subnet) => subnet.address.length === address.length)) return address;
    throw new InputError(`invalid --gateway ${text}: not an address in a subnet of the network`, {
      code: "bad-address",
      facts: { value: text },
      hint: `use an address in ${subnets.map(formatCidr).join(" or ")}`,
    });
  });
  const pair = (subnet: Cidr): Subnet => {
    const fitting = gateways.filter(({ length }) => length === subnet.address.length);
    const [gateway = addressAt(subnet, 1n), second] = fitting;
    if (second) {
      throw new InputError(
        `invalid gateways of ${formatCidr(subnet)}: it has one, not ${fitting.map(formatAddress).join(" and ")}`,
        {
          code: "bad-address",
        },
      );
    }
    checkHostAddress(subnet, gateway, "--gateway");
    return { subnet, gateway };
  };
  const [first, ...others] = subnets;
  return [pair(first), ...others.map(pair)];
}

function checkNew(containers: string, name: string): void {
  if (RESERVED.includes(networkName(name))) {
    throw new InputError(`invalid network name ${name}: reserved`, { code: "bad-network", facts: { name } });
  }
  if (readNetwork(containers, name)) {
    throw new NetworkError(`cannot create network ${name}: it exists`, {
      code: "network-exists",
      facts: { name },
      hint: `remove it with: sauropod network rm ${name}`,
    });
  }
}

function checkDefined(subnets: readonly Cidr[], others: readonly Network[], taken: readonly Cidr[]): void {
  for (const other of others) {
    const pair = other.subnets.flatMap(({ subnet }) =>
      subnets.filter((one) =>
        overlap(one, subnet)
      ).map((one) => ({ one, subnet }))
    )[0];
    if (!pair) continue;
    const free = formatCidr(freeSubnet(taken));
    throw new NetworkError(
      `cannot use subnet ${formatCidr(pair.one)}: it overlaps ${formatCidr(pair.subnet)} of network ${other.name}`,
      {
        code: "subnet-taken",
        facts: { subnet: formatCidr(pair.one), network: other.name, free },
        hint: `use a free one: ${free}`,
      },
    );
  }
}

/**
 * Creates a network and sets it up.
 *
 * @throws {InputError} `bad-network`, `bad-address`, `bad-mtu`.
 * @throws {NetworkError} `network-exists`, `subnet-taken`, `bridge-failed`. Nothing is left then.
 */
export async function createNetwork(name: string, options: NetworkOptions & FolderOptions = {}): Promise<NetworkInfo> {
  const { containers } = findFolders(options);
  using _lock = await lockNetworks();
  checkNew(containers, name);
  const others = [findNetwork(containers, DEFAULT_NETWORK), ...readNetworks(containers)];
  const routed = withNetlink("ROUTE", (fd) => routedSubnets(fd));
  const taken = [...routed, ...others.flatMap(({ subnets }) => subnets.map(({ subnet }) => subnet))];
  const subnets = chooseSubnets(options, taken);
  checkDefined(subnets, others, taken);
  const network: Network = {
    name,
    bridge: `sp-${randomBytes(4).toHex()}`,
    subnets: chooseGateways(subnets, options.gateways),
    ...(options.mtu === undefined ? {} : { mtu: options.mtu }),
    internal: options.internal ?? false,
    created: new Date().toISOString(),
  };
  checkMtu(network);
  writeNetwork(containers, network);
  try {
    guard(await bringUp(network));
  } catch (error) {
    removeNetworkFile(containers, name);
    await tearDown(network).catch(() => {});
    throw error;
  }
  return describe(network, readLeases());
}

function describe(network: Network, leases: readonly Lease[]): NetworkInfo {
  const { name, bridge, subnets, internal, created } = network;
  const link = withNetlink("ROUTE", (fd) => findLink(fd, bridge));
  const mtu = link?.mtu ?? network.mtu;
  return {
    name,
    bridge,
    subnets: subnets.map(({ subnet, gateway }) => ({ subnet: formatCidr(subnet), gateway: formatAddress(gateway) })),
    ...(mtu === undefined ? {} : { mtu }),
    internal,
    up: link !== undefined,
    ...(created === undefined ? {} : { created }),
    containers: membersOf(network, leases).map(({ id, addresses, names }) => ({ id, addresses, names })),
  };
}

function membersOf(network: Network, leases: readonly Lease[]): Lease[] {
  const ports = portsOf(network);
  return leases.filter(({ host, process }) =>
    ports.includes(host) && (!process || isAlive(process) || isUnseen(process))
  );
}

/**
 * Returns a network and its containers.
 *
 * @throws {NetworkError} `network-not-found`.
 */
export function inspectNetwork(name: string, options: FolderOptions = {}): NetworkInfo {
  return describe(findNetwork(findFolders(options).containers, networkName(name)), readLeases());
}

/** Lists all networks: `sauropod0` and the created ones. Reports errors of damaged definitions to `damaged`. */
export function listNetworks(options: FolderOptions = {}, damaged?: (error: NetworkError) => void): NetworkInfo[] {
  const { containers } = findFolders(options);
  const leases = readLeases();
  return [findNetwork(containers, DEFAULT_NETWORK), ...readNetworks(containers, damaged)].map((one) =>
    describe(one, leases)
  );
}

const RELEASE_MS = 2000, POLL_MS = 10;

/** Waits until the kernel has removed the interfaces of ended containers, which it does soon, but not at once. */
async function awaitPorts(network: Network): Promise<string[]> {
  await waitUntil(() => portsOf(network).length === 0, { timeout: RELEASE_MS, interval: POLL_MS });
  return portsOf(network);
}

function inUse(name: string, users: readonly string[]): NetworkError {
  return new NetworkError(`cannot remove network ${name}: in use by ${users.join(", ")}`, {
    code: "network-in-use",
    facts: { name, users },
    hint: "stop those containers first",
  });
}

/** Removes a damaged definition, and its bridge if the definition still names an unused one. */
async function removeDamaged(containers: string, name: string): Promise<void> {
  const bridge = bridgeOfDamaged(containers, name);
  if (bridge !== undefined) {
    const network = { ...findNetwork(containers, DEFAULT_NETWORK), name, bridge };
    const ports = await awaitPorts(network);
    if (ports.length > 0) throw inUse(name, ports);
    await tearDown(network);
  }
  removeNetworkFile(containers, name);
}

function isDamaged(error: unknown): error is NetworkError {
  return error instanceof NetworkError && error.code === "bad-record";
}

async function remove(containers: string, name: string): Promise<void> {
  const network = findNetwork(containers, name);
  const members = membersOf(network, readLeases());
  if (members.length > 0) throw inUse(name, members.map(({ names, id }) => names.find((name) => name !== id) ?? id));
  const ports = await awaitPorts(network);
  if (ports.length > 0) throw inUse(name, ports);
  await tearDown(network);
  if (name !== DEFAULT_NETWORK) removeNetworkFile(containers, name);
}

/**
 * Removes a network with its bridge and rules. `sauropod0` is set up again when it is next needed.
 *
 * @throws {NetworkError} `network-not-found`, `network-in-use`.
 */
export async function removeNetwork(name: string, options: FolderOptions = {}): Promise<void> {
  const { containers } = findFolders(options);
  using _lock = await lockNetworks();
  try {
    await remove(containers, networkName(name));
  } catch (error) {
    if (!isDamaged(error)) throw error;
    await removeDamaged(containers, name);
  }
}

/**
 * Removes all created networks without containers. Returns their names. Reports errors of damaged definitions, which
 * stay, to `damaged`.
 */
export async function pruneNetworks(
  options: FolderOptions = {},
  damaged: (error: NetworkError) => void = () => {},
): Promise<string[]> {
  const { containers } = findFolders(options);
  using _lock = await lockNetworks();
  const removed: string[] = [];
  for (const name of networkNames(containers)) {
    try {
      await remove(containers, name);
      removed.push(name);
    } catch (error) {
      if (isDamaged(error)) damaged(error);
      else if (!(error instanceof NetworkError) || error.code !== "network-in-use") throw error;
    }
  }
  return removed;
}
