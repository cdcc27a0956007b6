/**
 * What would be done for a container's networks, and nothing of it.
 *
 * @module
 */

import type { Message } from "../../ffi/netlink/netlink.ts";
import { chooseAll, filesOf, findNetwork, type NetworkRequest, type NetworkReservation } from "./reserve.ts";
import type { Bridge } from "./bridge.ts";
import { addressMessages, bridgeMessages, lookAtBridge, settingsOf } from "./bridge_setup.ts";
import { ruledNetworks } from "./filter.ts";
import { guardElements, guardRules } from "./guard.ts";
import { outsideBridges, targetsOf } from "./install.ts";
import { isDead, readLeases } from "./leases.ts";
import { parseExposed, parsePort } from "./ports.ts";
import { hostResolver } from "./resolver.ts";
import { networkRules, publishedRules } from "./rules.ts";

/**
 * The place that a container would get now, the networks that it would be on, and what lets it send there. Nothing is made.
 */
export function planPlace(
  tenant: NetworkRequest,
): Pick<NetworkReservation, "network" | "files"> & { bridges: readonly Bridge[]; guards: readonly string[] } {
  const { memberships, containers, options } = tenant;
  const bridges = memberships.map(({ network }) =>
    lookAtBridge(findNetwork(containers, network, options.bridgeAddress))
  );
  const leases = readLeases().filter((lease) => !isDead(lease));
  const choices = chooseAll(tenant, bridges, leases);
  const networks = choices.map(({ lease }) => lease.network);
  const siblings = leases.filter(({ network }) => networks.includes(network));
  return {
    network: { mode: "own", interfaces: choices.map(({ spec }) => spec) },
    files: filesOf(tenant, choices, siblings),
    bridges,
    guards: bridges.flatMap((bridge, i) => {
      const [first] = choices[i]?.spec.addresses ?? [];
      return first ? texts(guardElements(bridge, [first.address])) : [];
    }),
  };
}

function texts(messages: readonly Message[]): string[] {
  return messages.map(({ text }) => text ?? "");
}

/** What sets a network up, where it is not. */
export function describeNetwork({ network, mtu }: Bridge): string[] {
  return [
    ...texts([...bridgeMessages(network, mtu), ...addressMessages(network, 0)]),
    ...settingsOf(network).map(([path, value]) => `write ${value} to /proc/sys/net/${path}`),
    ...texts(ruledNetworks(network, hostResolver()).flatMap((one) => networkRules(one, outsideBridges(one.uplink)))),
    ...texts(guardRules(network)),
  ];
}

/** What leads ports of the host to a container's address. A port of 0 is one that is free. */
export function describePorts(
  id: string,
  publish: readonly string[],
  exposed: readonly string[],
  address: Uint8Array,
): string[] {
  const targets = targetsOf([...publish.map(parsePort), ...exposed.map(parseExposed)], address);
  return targets.length === 0 ? [] : texts(publishedRules(id, targets, address.length === 4 ? "ip" : "ip6"));
}
