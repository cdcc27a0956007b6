/**
 * Network reservation: holds a container's addresses and published ports while it is created, and releases its leases.
 *
 * @module
 */

import { NetlinkError, request as ask, withNetlink } from "../../ffi/netlink/netlink.ts";
import { findLink, listLinks, newRateLimit, setHairpin } from "../../ffi/netlink/rtnetlink.ts";
import type { ProcessIdentity } from "../host/process_identity.ts";
import { SAMPLE, some } from "../host/sample.ts";
import { NetworkError } from "../errors.ts";
import { sleep } from "../host/poll.ts";
import { lazy } from "../lazy.ts";
import type { FileSpec, InterfaceSpec, NetworkSpec } from "../program/spec.ts";
import { formatCidr, parseAddress } from "../text/address.ts";
import {
  allocateAll,
  type Attachment,
  filesOf,
  type InterfaceAllocation,
  namesOf,
  type NetworkRequest,
} from "./allocate.ts";
import { type Bridge, bringUp, findDefaultNetwork, findNetwork } from "./bridge.ts";
import type { Network } from "./definition.ts";
import { maySend } from "./filter.ts";
import { addLeases, isDead, isHostEnd, isLiving, type Lease, lockNetworks, readLeases, writeLeases } from "./leases.ts";
import type { PublishedPort } from "./ports.ts";
import type { Publication } from "./publication.ts";
import { DEFAULT_NETWORK } from "./selection.ts";
import { prepareHostsUpdate, removeFromPeers } from "./hosts_files.ts";

/**
 * Addresses and ports reserved for a container that is being created. Leaving its scope without a commit releases them.
 */
export interface NetworkReservation extends Disposable {
  /** The network of the container's specification. */
  readonly network: NetworkSpec;
  /** The name files of the container's specification. */
  readonly files: readonly FileSpec[];
  /** The interfaces as the container's record lists them. */
  readonly attachments: readonly Attachment[];
  /** The published ports as the container's record lists them. */
  readonly ports: readonly PublishedPort[];
  /** The published ports as this process holds them. */
  readonly publication: Publication;
  /** The descriptor of the lock on networks. */
  readonly lock: number;
  /** Adds the container to its peers' `/etc/hosts` ahead of the commit, while the caller waits for others anyway. */
  readonly announce: () => void;
  /** Writes the leases, owned by the launched container, and adds it to its peers' `/etc/hosts`. */
  commit(owner: LeaseOwner): void;
}

/** The process that keeps a container's leases alive, and the file with the names of its peers. */
export interface LeaseOwner {
  /** The container's first process or its monitor. */
  readonly process: ProcessIdentity | undefined;
  /** The container's `/etc/hosts` on the host. Default: it lies in the container's mount namespace. */
  readonly hosts?: string;
}

const RELEASE_MS = 2000, POLL_MS = 2;

/**
 * Allocates interfaces, retrying while the kernel still removes interfaces of ended containers. Dead leases are first
 * looked for in a sample, then among all.
 */
async function allocateWithRetry(
  request: NetworkRequest,
  bridges: readonly Bridge[],
): Promise<{ allocations: InterfaceAllocation[]; leases: readonly Lease[] }> {
  const deadline = performance.now() + RELEASE_MS;
  let changes = true;
  for (let most = SAMPLE;; most = Infinity) {
    const leases = releaseDead(readLeases(), request, most);
    try {
      return { allocations: allocateAll(request, bridges, leases), leases };
    } catch (error) {
      if (!changes || performance.now() > deadline || !(error instanceof NetworkError)) throw error;
    }
    // Checked before the retry, which may use what the kernel removes in between.
    changes = hasDead(leases);
    await sleep(POLL_MS);
  }
}

/**
 * Reports whether a container's veth outlives its container. While the kernel removes it, no bridge lists it as a port.
 */
function hasDead(leases: readonly Lease[]): boolean {
  const living = new Set(leases.filter(isLiving).map(({ host }) => host));
  const links = withNetlink("ROUTE", (fd) => listLinks(fd));
  return links.some(({ name }) => isHostEnd(name) && !living.has(name));
}

/** Restricts the allocated interfaces to their own source addresses. */
async function guardPorts(bridges: readonly Bridge[], allocations: readonly InterfaceAllocation[]): Promise<void> {
  const pairs = allocations.flatMap(({ spec }, i) => {
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

const nothing = (): void => {};
const NOTHING: Publication = { ports: [], descriptors: [], publish: nothing, release: nothing, handOver: nothing };

async function takePorts({ id, options, apart = false }: NetworkRequest, six: boolean): Promise<Publication> {
  if (!options.publish?.length && !(options.publishAll && options.expose?.length)) return NOTHING;
  const { takePorts } = await lazy.publication();
  return takePorts(id, options, six, apart);
}

/** Sets the rate limit and the hairpin mode of a veth's host end. */
function finishHostEnd({ host, rate }: InterfaceSpec, published: boolean): void {
  if (rate === undefined && !published) return;
  try {
    withNetlink("ROUTE", (fd) => {
      const link = findLink(fd, host);
      if (link && rate !== undefined) ask(fd, [newRateLimit(link.index, rate, host)]);
      if (link && published) ask(fd, [setHairpin(host)]);
    });
  } catch (error) {
    // The container has ended, or has removed its interface, as a privileged one can.
    if (!(error instanceof NetlinkError && error.code === "ENODEV")) throw error;
  }
}

/** Removes leases, and their names from the peers' `/etc/hosts`. Returns the remaining leases. */
function removeLeases(leases: readonly Lease[], isGone: (lease: Lease) => boolean): readonly Lease[] {
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

/** Removes dead leases among a sample of `most`, and ended containers' leases that carry a name of the request. */
function releaseDead(leases: readonly Lease[], request: NetworkRequest, most: number): readonly Lease[] {
  const names = new Set(request.memberships.flatMap((membership) => namesOf(request, membership)));
  const dead = new Set(some(leases, most).filter(isDead));
  return removeLeases(
    leases,
    (lease) => dead.has(lease) || (lease.names.some((name) => names.has(name)) && !isLiving(lease)),
  );
}

/** Checks that `--bridge-addr` does not move the gateway of running containers. */
function checkMove({ name, subnets: [wanted] }: Network): void {
  if (name !== DEFAULT_NETWORK) return;
  const { subnets: [present] } = findDefaultNetwork();
  const [from, to] = [present, wanted].map(({ subnet: { prefix }, gateway }) =>
    formatCidr({ address: gateway, prefix })
  );
  if (from === to) return;
  const users = readLeases().filter((lease) => lease.network === name && isLiving(lease));
  if (users.length === 0) return;
  throw new NetworkError(`cannot move network ${name} from ${from} to ${to}: ${users.length} containers use it`, {
    code: "network-in-use",
    facts: { name, from, to, users: users.map(({ id }) => id) },
    hint: `stop those containers first; list them with: sauropod network inspect ${name}`,
  });
}

/**
 * Reserves addresses and ports for a container on its networks, which are set up if necessary. The networks stay locked
 * until the reservation leaves its scope; it is rolled back then unless it was committed.
 *
 * @throws {NetworkError} if a network cannot be used or moved, or an address or port is taken.
 * @throws {InputError} for invalid options.
 */
export async function reserve(request: NetworkRequest): Promise<NetworkReservation> {
  using held = new DisposableStack();
  const lock = held.use(await lockNetworks()), rollback = held.use(new DisposableStack());
  const { memberships, containers, options } = request;
  const networks = memberships.map(({ network }) => findNetwork(containers, network, options.bridgeAddress));
  if (options.bridgeAddress !== undefined) networks.forEach(checkMove);
  const publication = await takePorts(request, networks.some(({ subnets }) => subnets.length > 1));
  rollback.defer(publication.release);
  const bridges: Bridge[] = [];
  for (const network of networks) bridges.push(await bringUp(network));
  const { allocations, leases } = await allocateWithRetry(request, bridges);
  await guardPorts(bridges, allocations);
  const peers = leases.filter(({ network }) => networks.some(({ name }) => name === network));
  const files = filesOf(request, allocations, peers);
  const { ports } = publication, [first] = allocations;
  publication.publish((first?.lease.addresses ?? []).flatMap((address) => parseAddress(address) ?? []));
  const update = prepareHostsUpdate(allocations.map(({ lease }) => lease), peers);
  rollback.defer(update.revert);
  const kept = held.move();
  return {
    network: { mode: "own", interfaces: allocations.map(({ spec }) => spec) },
    files,
    attachments: allocations.map(({ attachment }) => attachment),
    ports,
    publication,
    lock: lock.fd,
    announce: update.apply,
    commit({ process, hosts }) {
      allocations.forEach(({ spec }) => finishHostEnd(spec, ports.length > 0));
      const owner = { ...(process ? { process } : {}), ...(hosts === undefined ? {} : { hosts }) };
      addLeases(allocations.map(({ lease }) => ({ ...lease, ...owner })));
      update.apply();
      rollback.move();
    },
    [Symbol.dispose]: () => kept.dispose(),
  };
}

/** Reports whether leases of ended containers remain. */
export function hasEndedLeases(): boolean {
  return readLeases().some((lease) => !isLiving(lease));
}

/** Releases the leases of ended containers: of the given ones, and of others among a sample of `most`. */
export async function releaseLeases(ids: readonly string[], most = SAMPLE): Promise<void> {
  using _lock = await lockNetworks();
  const leases = readLeases();
  const dead = new Set(some(leases, most).filter((lease) => !isLiving(lease)));
  removeLeases(leases, (lease) => ids.includes(lease.id) || dead.has(lease));
}
