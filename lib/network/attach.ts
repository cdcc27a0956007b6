/**
 * Gives a container its place on bridged networks, and takes it back.
 *
 * @module
 */

import { request as ask, withNetlink } from "../../ffi/netlink.ts";
import { findLink, newRateLimit, setHairpin } from "../../ffi/rtnetlink.ts";
import type { ContainerOptions } from "../container/options.ts";
import type { ProcessMark } from "../container/record.ts";
import { InputError, NetworkError } from "../errors.ts";
import { lazy } from "../lazy.ts";
import type { FileSpec, InterfaceSpec, NetworkSpec } from "../spec.ts";
import { formatAddress, formatCidr, parseAddress } from "./address.ts";
import { type Bridge, bringUp, findDefaultNetwork, lookAtBridge } from "./bridge.ts";
import { type Network, networkNames, readNetwork } from "./definition.ts";
import { bridgedFiles } from "./files.ts";
import {
  allAddresses,
  chooseAddress,
  hostEnd,
  type Lease,
  readLeases,
  takenOn,
  withLock,
  writeLeases,
} from "./leases.ts";
import type { PublishedPort } from "./ports.ts";
import { DEFAULT_NETWORK, type Membership } from "./request.ts";
import { siblingLines, tellSiblings } from "./siblings.ts";

/** A container's place on one network, as its record tells. */
export interface Attachment {
  /** The network's name. */
  readonly network: string;
  /** The interface's name in the container. */
  readonly interface: string;
  /** Its addresses with the lengths of their prefixes, IPv4 first: `10.10.10.2/24`. */
  readonly addresses: readonly string[];
  /** The host's address there, IPv4. */
  readonly gateway: string;
  /** Its hardware address. */
  readonly mac: string;
  /** The name of the other end, on the host. */
  readonly host: string;
}

/** What a container gets of its networks. */
export interface Place {
  /** For the specification. */
  readonly network: NetworkSpec;
  /** For the specification. */
  readonly files: readonly FileSpec[];
  /** For the record. */
  readonly attachments: readonly Attachment[];
  /** For the record. */
  readonly ports: readonly PublishedPort[];
  /** Lets go of the published ports. */
  release(): void;
}

/** Who asks for a place. */
export interface Tenant {
  /** The container's id. */
  readonly id: string;
  /** Its host name. */
  readonly hostname: string;
  /** The folder of containers. */
  readonly containers: string;
  /** The networks that it asks for. */
  readonly memberships: readonly Membership[];
  /** Everything else that was asked. */
  readonly options: ContainerOptions;
}

/**
 * The network called `name`.
 *
 * @throws {NetworkError} `network-not-found`.
 */
export function findNetwork(containers: string, name: string, bridgeAddress?: string): Network {
  const found = name === DEFAULT_NETWORK ? findDefaultNetwork(bridgeAddress) : readNetwork(containers, name);
  if (found) return found;
  throw new NetworkError(`there is no network ${name}`, {
    code: "network-not-found",
    facts: { name, networks: [DEFAULT_NETWORK, ...networkNames(containers)] },
    hint: `make it: sauropod network create ${name}, or see: sauropod network ls`,
  });
}

// Behind the interfaces that some kernels make in every network namespace, such as tunl0 and sit0.
const FIRST_INDEX = 100;

interface Choice {
  readonly lease: Lease;
  readonly spec: InterfaceSpec;
  readonly attachment: Attachment;
}

function choose(bridge: Bridge, membership: Membership, index: number, tenant: Tenant): Choice {
  const { network, mtu } = bridge;
  const { id, hostname, options } = tenant;
  const first = chooseAddress(bridge, takenOn(bridge), membership.address);
  const addresses = allAddresses(bridge, first);
  const host = hostEnd(first);
  const mac = Uint8Array.of(0x02, 0x53, ...first);
  const name = `eth${index}`;
  const names = new Set([hostname, ...(options.name === undefined ? [] : [options.name]), id, ...membership.aliases]);
  const withPrefix = addresses.map((address, i) => ({ address, prefix: network.subnets[i]?.subnet.prefix ?? 0 }));
  return {
    lease: { id, network: network.name, host, addresses: addresses.map(formatAddress), names: [...names] },
    spec: {
      name,
      index: FIRST_INDEX + index,
      mac,
      mtu,
      host,
      hostIndex: randomIndex(),
      bridge: bridge.index,
      bridgeName: network.bridge,
      addresses: withPrefix.map((one, i) => {
        const gateway = index === 0 && !network.internal ? network.subnets[i]?.gateway : undefined;
        return gateway ? { ...one, gateway } : one;
      }),
      ...(options.netRate === undefined ? {} : { rate: bytesPerSecond(options.netRate) }),
    },
    attachment: {
      network: network.name,
      interface: name,
      addresses: withPrefix.map(formatCidr),
      gateway: formatAddress(network.subnets[0].gateway),
      mac: mac.toHex().replace(/(..)(?=.)/g, "$1:"),
      host,
    },
  };
}

/** An index that no interface has that the kernel numbered. */
function randomIndex(): number {
  const [number = 0] = crypto.getRandomValues(new Uint32Array(1));
  return 1 << 28 | number >>> 4;
}

function bytesPerSecond(bits: number): number {
  if (Number.isFinite(bits) && bits >= 8000 && bits <= 8 * 0xffffffff) return Math.floor(bits / 8);
  throw new InputError(`${bits} bits a second cannot be the limit of an interface`, {
    code: "bad-rate",
    facts: { rate: bits },
    hint: "from 8kbit to 34gbit",
  });
}

function filesOf({ hostname, options }: Tenant, choices: readonly Choice[], siblings: readonly Lease[]): FileSpec[] {
  const own = choices.flatMap(({ lease }) => lease.addresses.map((address) => ({ address, names: lease.names })));
  const gateway = choices[0]?.attachment.gateway ?? "";
  return bridgedFiles({ hostname, own, siblings: siblings.map(siblingLines).join(""), gateway }, options);
}

/** Ports that are held, and how they are led to the container when it has its addresses. */
interface Publication {
  readonly ports: readonly PublishedPort[];
  publish(addresses: readonly Uint8Array[]): void;
  release(): void;
}

const NOTHING: Publication = { ports: [], publish: () => {}, release: () => {} };

/** Checks the ports and takes them on the host. */
async function takePorts({ id, options }: Tenant, six: boolean): Promise<Publication> {
  const { publish = [], publishAll, expose = [] } = options;
  if (publish.length === 0 && !(publishAll && expose.length > 0)) return NOTHING;
  const [{ holdPorts, parseExposed, parsePort }, install] = await Promise.all([lazy.ports(), lazy.networkInstall()]);
  const { ports, mappings, release } = holdPorts(
    [...publish.map(parsePort), ...(publishAll ? expose.map(parseExposed) : [])],
    six,
  );
  let close = (): void => {};
  return {
    ports,
    publish(addresses) {
      close = install.publish(id, mappings, addresses);
    },
    release() {
      close();
      close = (): void => {};
      release();
    },
  };
}

/** The place that a container would get now, and the networks that it would be on. Nothing is made. */
export function planPlace(tenant: Tenant): Pick<Place, "network" | "files"> & { bridges: readonly Bridge[] } {
  const { memberships, containers, options } = tenant;
  const bridges = memberships.map(({ network }) =>
    lookAtBridge(findNetwork(containers, network, options.bridgeAddress))
  );
  const choices = memberships.flatMap((one, i) => {
    const bridge = bridges[i];
    return bridge ? [choose(bridge, one, i, tenant)] : [];
  });
  const networks = choices.map(({ lease }) => lease.network);
  const siblings = readLeases().filter(({ network }) => networks.includes(network));
  return {
    network: { mode: "own", interfaces: choices.map(({ spec }) => spec) },
    files: filesOf(tenant, choices, siblings),
    bridges,
  };
}

/** What is left to do with the host's end of an interface. */
function finishHostEnd({ host, rate }: InterfaceSpec, published: boolean): void {
  if (rate === undefined && !published) return;
  withNetlink("ROUTE", (fd) => {
    const link = findLink(fd, host);
    if (link && rate !== undefined) ask(fd, [newRateLimit(link.index, rate, host)]);
    if (link && published) ask(fd, [setHairpin(host)]);
  });
}

/** Takes leases away; siblings forget those who had them. Returns the others. */
function forget(leases: readonly Lease[], isGone: (lease: Lease) => boolean): Lease[] {
  const gone = leases.filter(isGone);
  const staying = leases.filter((lease) => !gone.includes(lease));
  for (const left of gone) tellSiblings(staying.filter(({ network }) => network === left.network), { left });
  return staying;
}

/** Takes the leases away whose interface is gone, as when their owner was killed. */
function forgetDead(leases: readonly Lease[], bridges: readonly Bridge[]): Lease[] {
  const taken = new Map(bridges.map((bridge) => [bridge.network.name, takenOn(bridge)]));
  return forget(leases, ({ network, host }) => taken.get(network)?.has(host) === false);
}

type Work<T> = (place: Place) => Promise<{ made: T; process: ProcessMark | undefined }>;

async function settle<T>(
  tenant: Tenant,
  networks: readonly Network[],
  { ports, publish, release }: Publication,
  work: Work<T>,
): Promise<T> {
  const bridges: Bridge[] = [];
  for (const network of networks) bridges.push(await bringUp(network));
  const choices = tenant.memberships.flatMap((membership, i) => {
    const bridge = bridges[i];
    return bridge ? [choose(bridge, membership, i, tenant)] : [];
  });
  const leases = forgetDead(readLeases(), bridges);
  const siblings = leases.filter(({ network }) => networks.some(({ name }) => name === network));
  const files = filesOf(tenant, choices, siblings);
  publish((choices[0]?.lease.addresses ?? []).flatMap((address) => parseAddress(address) ?? []));
  const { made, process } = await work({
    network: { mode: "own", interfaces: choices.map(({ spec }) => spec) },
    files,
    attachments: choices.map(({ attachment }) => attachment),
    ports,
    release,
  });
  const own = choices.map(({ lease }) => ({ ...lease, ...(process ? { process } : {}) }));
  choices.forEach(({ spec }) => finishHostEnd(spec, ports.length > 0));
  writeLeases([...leases, ...own]);
  for (const joined of own) tellSiblings(siblings.filter(({ network }) => network === joined.network), { joined });
  return made;
}

/**
 * Gives a container its place on its networks, which are set up if they are not, and makes it in `work`. Nobody else
 * can choose an address meanwhile. Its siblings learn of it.
 *
 * @throws {NetworkError} if a network cannot be used, an address or port is taken.
 * @throws {InputError} for options that make no sense.
 */
export function withPlace<T>(tenant: Tenant, work: Work<T>): Promise<T> {
  return withLock(async () => {
    const { memberships, containers, options } = tenant;
    const networks = memberships.map(({ network }) => findNetwork(containers, network, options.bridgeAddress));
    const publication = await takePorts(tenant, networks.some(({ subnets }) => subnets.length > 1));
    try {
      return await settle(tenant, networks, publication, work);
    } catch (error) {
      publication.release();
      throw error;
    }
  });
}

/** Takes back the places of containers that have ended; their siblings forget them. */
export function leave(ids: readonly string[]): Promise<void> {
  return withLock(() => {
    const leases = readLeases();
    const staying = forget(leases, ({ id }) => ids.includes(id));
    if (staying.length < leases.length) writeLeases(staying);
    return Promise.resolve();
  });
}
