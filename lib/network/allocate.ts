/**
 * IPAM: allocates a container's interfaces, addresses and name files on its networks, without changing the host.
 *
 * @module
 */

import { randomBytes } from "../../ffi/process/random.ts";
import { InputError } from "../errors.ts";
import type { FileSpec, InterfaceSpec } from "../program/spec.ts";
import { formatAddress, formatCidr } from "../text/address.ts";
import type { Bridge } from "./bridge.ts";
import { siblingLines } from "./hosts_files.ts";
import { allAddresses, chooseAddress, hostEnd, type Lease, macOf } from "./leases.ts";
import { bridgedFiles } from "./name_files.ts";
import type { ContainerNetworkOptions } from "./options.ts";
import type { Membership } from "./selection.ts";

/** A container's interface on one network, as its record lists it. */
export interface Attachment {
  /** The network's name. */
  readonly network: string;
  /** The interface's name in the container. */
  readonly interface: string;
  /** Its addresses in CIDR notation, IPv4 first: `10.10.10.2/24`. */
  readonly addresses: readonly string[];
  /** The host's IPv4 address on the network. */
  readonly gateway: string;
  /** Its MAC address. */
  readonly mac: string;
  /** The name of the veth's host end. */
  readonly host: string;
}

/** A container's request for interfaces on networks. */
export interface NetworkRequest {
  /** The container's id. */
  readonly id: string;
  /** Its name. Default: it has none. */
  readonly name?: string;
  /** Its host name. */
  readonly hostname: string;
  /** The directory of containers. */
  readonly containers: string;
  /** The requested networks. */
  readonly memberships: readonly Membership[];
  /** The other network options. */
  readonly options: ContainerNetworkOptions;
  /** Whether another process will hold its ports. Default: false. */
  readonly apart?: boolean;
}

// After the interfaces that some kernels create in every network namespace, such as tunl0 and sit0.
const FIRST_INDEX = 100;

/** An allocated interface. */
export interface InterfaceAllocation {
  /** The lease of its addresses. */
  readonly lease: Lease;
  /** The interface of the container's specification. */
  readonly spec: InterfaceSpec;
  /** The interface as the container's record lists it. */
  readonly attachment: Attachment;
}

/** Returns the names by which peers resolve a container on one of its networks. */
export function namesOf({ id, name, hostname }: NetworkRequest, { aliases }: Membership): string[] {
  return [...new Set([hostname, ...(name === undefined ? [] : [name]), id, ...aliases])];
}

function allocateInterface(
  bridge: Bridge,
  membership: Membership,
  index: number,
  request: NetworkRequest,
  leases: readonly Lease[],
): InterfaceAllocation {
  const { network, mtu } = bridge;
  const { id, options } = request;
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
      names: namesOf(request, membership),
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

/** Returns an interface index far above those that the kernel assigns. */
function randomIndex(): number {
  const [number = 0] = new Uint32Array(randomBytes(4).buffer);
  return 1 << 28 | number >>> 4;
}

function bytesPerSecond(bits: number): number {
  if (Number.isFinite(bits) && bits >= 8000 && bits <= 8 * 0xffffffff) return Math.floor(bits / 8);
  throw new InputError(`invalid network rate ${bits} bit/s`, {
    code: "bad-rate",
    facts: { rate: bits },
    hint: "use 8kbit to 34gbit",
  });
}

/** Allocates an interface on each requested network, with addresses outside `leases`. Changes nothing on the host. */
export function allocateAll(
  request: NetworkRequest,
  bridges: readonly Bridge[],
  leases: readonly Lease[],
): InterfaceAllocation[] {
  return request.memberships.flatMap((one, i) => {
    const bridge = bridges[i];
    return bridge ? [allocateInterface(bridge, one, i, request, leases)] : [];
  });
}

/** Returns the container's hosts, hostname and resolv.conf files. */
export function filesOf(
  { hostname, options }: NetworkRequest,
  allocations: readonly InterfaceAllocation[],
  peers: readonly Lease[],
): FileSpec[] {
  const own = allocations.flatMap(({ lease }) => lease.addresses.map((address) => ({ address, names: lease.names })));
  const gateway = allocations[0]?.attachment.gateway ?? "";
  return bridgedFiles({ hostname, own, siblings: peers.map(siblingLines).join(""), gateway }, options);
}
