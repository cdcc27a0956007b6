/**
 * What is done on the host for a container's networks, for people.
 *
 * @module
 */

import type { Message } from "../../ffi/netlink.ts";
import { addressMessages, type Bridge, bridgeMessages, settingsOf } from "./bridge.ts";
import { ruledNetworks } from "./filter.ts";
import { targetsOf } from "./install.ts";
import { parseExposed, parsePort } from "./ports.ts";
import { hostResolver } from "./resolver.ts";
import { networkRules, publishedRules } from "./rules.ts";

function texts(messages: readonly Message[]): string[] {
  return messages.map(({ text }) => text ?? "");
}

/** What sets a network up, where it is not. */
export function describeNetwork({ network, mtu }: Bridge): string[] {
  return [
    ...texts([...bridgeMessages(network, mtu), ...addressMessages(network, 0)]),
    ...settingsOf(network).map(([path, value]) => `write ${value} to /proc/sys/net/${path}`),
    ...texts(ruledNetworks(network, hostResolver()).flatMap(networkRules)),
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
