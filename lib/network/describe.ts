/**
 * Dry run of a container's networks for `explain`.
 *
 * @module
 */

import type { Message } from "../../ffi/netlink/netlink.ts";
import { allocateAll, filesOf, type NetworkRequest } from "./allocate.ts";
import type { NetworkReservation } from "./reserve.ts";
import { type Bridge, findNetwork } from "./bridge.ts";
import { addressMessages, bridgeMessages, lookAtBridge, settingsOf } from "./bridge_setup.ts";
import { ruledNetworks } from "./filter.ts";
import { guardElements, guardRules } from "./guard.ts";
import { outsideBridges, targetsOf } from "./install.ts";
import { isDead, readLeases } from "./leases.ts";
import { parseExposed, parsePort } from "./ports.ts";
import { hostResolver } from "./resolver.ts";
import { networkRules, publishedRules } from "./rules.ts";

/**
 * Returns the interfaces and files that a container would get now, its networks, and the guard rules. Changes nothing.
 */
export function planNetworks(
  request: NetworkRequest,
): Pick<NetworkReservation, "network" | "files"> & { bridges: readonly Bridge[]; guards: readonly string[] } {
  const { memberships, containers, options } = request;
  const bridges = memberships.map(({ network }) =>
    lookAtBridge(findNetwork(containers, network, options.bridgeAddress))
  );
  const leases = readLeases().filter((lease) => !isDead(lease));
  const allocations = allocateAll(request, bridges, leases);
  const networks = allocations.map(({ lease }) => lease.network);
  const siblings = leases.filter(({ network }) => networks.includes(network));
  return {
    network: { mode: "own", interfaces: allocations.map(({ spec }) => spec) },
    files: filesOf(request, allocations, siblings),
    bridges,
    guards: bridges.flatMap((bridge, i) => {
      const [first] = allocations[i]?.spec.addresses ?? [];
      return first ? texts(guardElements(bridge, [first.address])) : [];
    }),
  };
}

function texts(messages: readonly Message[]): string[] {
  return messages.map(({ text }) => text ?? "");
}

/** Describes the commands that set a network up. */
export function describeNetwork({ network, mtu }: Bridge): string[] {
  return [
    ...texts([...bridgeMessages(network, mtu), ...addressMessages(network, 0)]),
    ...settingsOf(network).map(([path, value]) => `write ${value} to /proc/sys/net/${path}`),
    ...texts(ruledNetworks(network, hostResolver()).flatMap((one) => networkRules(one, outsideBridges(one.uplink)))),
    ...texts(guardRules(network)),
  ];
}

/** Describes the rules that forward host ports to a container's address. Port 0 stands for any free port. */
export function describePorts(
  id: string,
  publish: readonly string[],
  exposed: readonly string[],
  address: Uint8Array,
): string[] {
  const targets = targetsOf([...publish.map(parsePort), ...exposed.map(parseExposed)], address);
  return targets.length === 0 ? [] : texts(publishedRules(id, targets, address.length === 4 ? "ip" : "ip6"));
}
