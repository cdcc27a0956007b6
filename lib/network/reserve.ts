/**
 * Gives a container its place on bridged networks, and takes it back.
 *
 * @module
 */

import { NetlinkError, request as ask, withNetlink } from "../../ffi/netlink/netlink.ts";
import { randomBytes } from "../../ffi/process/random.ts";
import { findLink, listLinks, newRateLimit, setHairpin } from "../../ffi/netlink/rtnetlink.ts";
import type { ContainerOptions } from "../container/spec/options.ts";
import type { ProcessIdentity } from "../container/state/record.ts";
import { SAMPLE, some } from "../container/state/ownership.ts";
import { InputError, NetworkError } from "../errors.ts";
import { sleep } from "../host/poll.ts";
import { lazy } from "../lazy.ts";
import type { FileSpec, InterfaceSpec, NetworkSpec } from "../program/spec.ts";
import { formatAddress, formatCidr, parseAddress } from "../text/address.ts";
import { type Bridge, bringUp, findDefaultNetwork } from "./bridge.ts";
import { type Network, networkNames, readNetwork } from "./definition.ts";
import { bridgedFiles } from "./name_files.ts";
import { maySend } from "./filter.ts";
import {
  addLeases,
  allAddresses,
  chooseAddress,
  hostEnd,
  isDead,
  isHostEnd,
  isLiving,
  type Lease,
  macOf,
  readLeases,
  withLock,
  writeLeases,
} from "./leases.ts";
import type { PublishedPort } from "./ports.ts";
import type { Publication } from "./publication.ts";
import { DEFAULT_NETWORK, type Membership } from "./request.ts";
import { prepareHostsUpdate, removeFromPeers, siblingLines } from "./hosts_files.ts";

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
export interface NetworkReservation {
  /** For the specification. */
  readonly network: NetworkSpec;
  /** For the specification. */
  readonly files: readonly FileSpec[];
  /** For the record. */
  readonly attachments: readonly Attachment[];
  /** For the record. */
  readonly ports: readonly PublishedPort[];
  /** What holds the published ports, and how to let go of it. */
  readonly publication: Publication;
  /** The lock that keeps others from choosing its addresses, while it is being made. */
  readonly lock: number;
  /** Tells its siblings of it. Worth calling when there is time, while others make it; else they are told when it is made. */
  readonly announce: () => void;
}

/** Who asks for a place. */
export interface NetworkRequest {
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
  /** Whether another process is to hold its ports. Default: this one does. */
  readonly apart?: boolean;
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

/** An interface that a container gets. */
export interface InterfaceAllocation {
  /** Who has its addresses. */
  readonly lease: Lease;
  /** For the specification. */
  readonly spec: InterfaceSpec;
  /** For the record. */
  readonly attachment: Attachment;
}

/** The names by which siblings find a container on one of its networks. */
function namesOf({ id, hostname, options }: NetworkRequest, { aliases }: Membership): string[] {
  return [...new Set([hostname, ...(options.name === undefined ? [] : [options.name]), id, ...aliases])];
}

function allocateInterface(
  bridge: Bridge,
  membership: Membership,
  index: number,
  tenant: NetworkRequest,
  leases: readonly Lease[],
): InterfaceAllocation {
  const { network, mtu } = bridge;
  const { id, options } = tenant;
  const first = chooseAddress(bridge, leases, membership.address);
  const addresses = allAddresses(bridge, first);
  const host = hostEnd(first);
  const mac = macOf(first);
  const name = `eth${index}`;
  const withPrefix = addresses.map((address, i) => ({ address, prefix: network.subnets[i]?.subnet.prefix ?? 0 }));
  return {
    lease: {
      id,
      network: network.name,
      host,
      addresses: addresses.map(formatAddress),
      names: namesOf(tenant, membership),
    },
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

const RELEASE_MS = 2000, POLL_MS = 2;

/** What a tenant gets of networks that are up, beside those who have `leases`. Nothing is made. */
export function chooseAll(
  tenant: NetworkRequest,
  bridges: readonly Bridge[],
  leases: readonly Lease[],
): InterfaceAllocation[] {
  return tenant.memberships.flatMap((one, i) => {
    const bridge = bridges[i];
    return bridge ? [allocateInterface(bridge, one, i, tenant, leases)] : [];
  });
}

/**
 * Chooses, if need be once the kernel has taken away the interfaces of the dead: it does so soon, but not at once. Leases
 * of the dead are looked for among a few; among all if that is not enough.
 */
async function chooseSoon(
  tenant: NetworkRequest,
  bridges: readonly Bridge[],
): Promise<{ choices: InterfaceAllocation[]; leases: readonly Lease[] }> {
  const deadline = performance.now() + RELEASE_MS;
  let changes = true;
  for (let most = SAMPLE;; most = Infinity) {
    const leases = forgetDead(readLeases(), tenant, most);
    try {
      return { choices: chooseAll(tenant, bridges, leases), leases };
    } catch (error) {
      if (!changes || performance.now() > deadline || !(error instanceof NetworkError)) throw error;
    }
    // Asked before the next try: what goes in between makes room for that.
    changes = hasDead(leases);
    await sleep(POLL_MS);
  }
}

/** Whether there is a host's end of an interface that is no living container's. On its way out it is no bridge's port. */
function hasDead(leases: readonly Lease[]): boolean {
  const living = new Set(leases.filter(isLiving).map(({ host }) => host));
  const links = withNetlink("ROUTE", (fd) => listLinks(fd));
  return links.some(({ name }) => isHostEnd(name) && !living.has(name));
}

/** An index that no interface has that the kernel numbered. */
function randomIndex(): number {
  const [number = 0] = new Uint32Array(randomBytes(4).buffer);
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

/** Sees to it that nothing is sent from the interfaces to come but under their own addresses. */
async function guardPorts(bridges: readonly Bridge[], choices: readonly InterfaceAllocation[]): Promise<void> {
  const pairs = choices.flatMap(({ spec }, i) => {
    const bridge = bridges[i], [first] = spec.addresses;
    return bridge && first ? [{ bridge, host: spec.host, mac: spec.mac, address: first.address }] : [];
  });
  const open = withNetlink(
    "NETFILTER",
    (fd) => pairs.filter(({ bridge, host, mac, address }) => !maySend(fd, bridge.network.bridge, host, mac, address)),
  );
  if (open.length === 0) return;
  const { guard } = await lazy.networkGuard();
  for (const { bridge, address } of open) guard(bridge, address);
}

/** The files by which it finds names. */
export function filesOf(
  { hostname, options }: NetworkRequest,
  choices: readonly InterfaceAllocation[],
  siblings: readonly Lease[],
): FileSpec[] {
  const own = choices.flatMap(({ lease }) => lease.addresses.map((address) => ({ address, names: lease.names })));
  const gateway = choices[0]?.attachment.gateway ?? "";
  return bridgedFiles({ hostname, own, siblings: siblings.map(siblingLines).join(""), gateway }, options);
}

const nothing = (): void => {};
const NOTHING: Publication = { ports: [], descriptors: [], publish: nothing, release: nothing, handOver: nothing };

async function takePorts({ id, options, apart = false }: NetworkRequest, six: boolean): Promise<Publication> {
  if (!options.publish?.length && !(options.publishAll && options.expose?.length)) return NOTHING;
  const { takePorts } = await lazy.publication();
  return takePorts(id, options, six, apart);
}

/** What is left to do with the host's end of an interface. */
function finishHostEnd({ host, rate }: InterfaceSpec, published: boolean): void {
  if (rate === undefined && !published) return;
  try {
    withNetlink("ROUTE", (fd) => {
      const link = findLink(fd, host);
      if (link && rate !== undefined) ask(fd, [newRateLimit(link.index, rate, host)]);
      if (link && published) ask(fd, [setHairpin(host)]);
    });
  } catch (error) {
    // The container has ended, or has removed its interface, which it may if it is privileged.
    if (!(error instanceof NetlinkError && error.code === "ENODEV")) throw error;
  }
}

/** Takes leases away; siblings forget those who had them. Returns the others. */
function forget(leases: readonly Lease[], isGone: (lease: Lease) => boolean): readonly Lease[] {
  const gone = leases.filter(isGone);
  if (gone.length === 0) return leases;
  const staying = leases.filter((lease) => !gone.includes(lease));
  for (const name of new Set(gone.map(({ network }) => network))) {
    const on = ({ network }: Lease): boolean => network === name;
    removeFromPeers(staying.filter(on), gone.filter(on));
  }
  writeLeases(staying);
  return staying;
}

/**
 * Takes the leases of the dead away, as when their owner was killed. It looks at no more than `most`, and at those who had
 * a name that is the tenant's now.
 */
function forgetDead(leases: readonly Lease[], tenant: NetworkRequest, most: number): readonly Lease[] {
  const names = new Set(tenant.memberships.flatMap((membership) => namesOf(tenant, membership)));
  const dead = new Set(some(leases, most).filter(isDead));
  return forget(
    leases,
    (lease) => dead.has(lease) || (lease.names.some((name) => names.has(name)) && !isLiving(lease)),
  );
}

/** Checks that `--bridge-addr` takes the gateway away from nobody who lives. */
function checkMove({ name, subnets: [wanted] }: Network): void {
  if (name !== DEFAULT_NETWORK) return;
  const { subnets: [present] } = findDefaultNetwork();
  const [from, to] = [present, wanted].map(({ subnet: { prefix }, gateway }) =>
    formatCidr({ address: gateway, prefix })
  );
  if (from === to) return;
  const users = readLeases().filter((lease) => lease.network === name && isLiving(lease));
  if (users.length === 0) return;
  throw new NetworkError(`the network ${name} cannot move from ${from} to ${to}: it is used by ${users.length}`, {
    code: "network-in-use",
    facts: { name, from, to, users: users.map(({ id }) => id) },
    hint: `end those containers first, or see: sauropod network inspect ${name}`,
  });
}

/** What was made in a place, and for its leases: by which process it lives, and which file of the host's tells it names. */
export interface Committed<T> {
  /** What was made. */
  readonly made: T;
  /** The process. */
  readonly process: ProcessIdentity | undefined;
  /** The file. Default: one of the container's own. */
  readonly hosts?: string;
}

type Work<T> = (place: NetworkReservation) => Promise<Committed<T>>;

async function commitReservation<T>(
  tenant: NetworkRequest,
  networks: readonly Network[],
  publication: Publication,
  lock: number,
  work: Work<T>,
): Promise<T> {
  const bridges: Bridge[] = [];
  for (const network of networks) bridges.push(await bringUp(network));
  const { choices, leases } = await chooseSoon(tenant, bridges);
  await guardPorts(bridges, choices);
  const siblings = leases.filter(({ network }) => networks.some(({ name }) => name === network));
  const files = filesOf(tenant, choices, siblings);
  const { ports } = publication;
  publication.publish((choices[0]?.lease.addresses ?? []).flatMap((address) => parseAddress(address) ?? []));
  const news = prepareHostsUpdate(choices.map(({ lease }) => lease), siblings);
  const place: NetworkReservation = {
    network: { mode: "own", interfaces: choices.map(({ spec }) => spec) },
    files,
    attachments: choices.map(({ attachment }) => attachment),
    ports,
    publication,
    lock,
    announce: news.tell,
  };
  const { made, process, hosts } = await work(place).catch((error) => {
    news.takeBack();
    throw error;
  });
  const own = choices.map(({ lease }) => ({
    ...lease,
    ...(process ? { process } : {}),
    ...(hosts === undefined ? {} : { hosts }),
  }));
  choices.forEach(({ spec }) => finishHostEnd(spec, ports.length > 0));
  addLeases(own);
  news.tell();
  return made;
}

/**
 * Gives a container its place on its networks, which are set up if they are not, and makes it in `work`. Nobody else
 * can choose an address meanwhile. Its siblings learn of it.
 *
 * @throws {NetworkError} if a network cannot be used or moved, an address or port is taken.
 * @throws {InputError} for options that make no sense.
 */
export function withPlace<T>(tenant: NetworkRequest, work: Work<T>): Promise<T> {
  return withLock(async (lock) => {
    const { memberships, containers, options } = tenant;
    const networks = memberships.map(({ network }) => findNetwork(containers, network, options.bridgeAddress));
    if (options.bridgeAddress !== undefined) networks.forEach(checkMove);
    const publication = await takePorts(tenant, networks.some(({ subnets }) => subnets.length > 1));
    try {
      return await commitReservation(tenant, networks, publication, lock, work);
    } catch (error) {
      publication.release();
      throw error;
    }
  });
}

/** Whether containers have left networks unseen. */
export function leftNetworks(): boolean {
  return readLeases().some((lease) => !isLiving(lease));
}

/**
 * Takes back the places of containers that have ended; their siblings forget them. Also those of others that have ended
 * unseen: all, or those among some `most` of them.
 */
export function leave(ids: readonly string[], most = SAMPLE): Promise<void> {
  return withLock(() => {
    const leases = readLeases();
    const dead = new Set(some(leases, most).filter((lease) => !isLiving(lease)));
    forget(leases, (lease) => ids.includes(lease.id) || dead.has(lease));
    return Promise.resolve();
  });
}
