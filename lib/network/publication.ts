/**
 * Publication of a container's ports: bound on the host, then forwarded to the container's addresses.
 *
 * @module
 */

import { close } from "../../ffi/fs/fs.ts";
import { openNetlink } from "../../ffi/netlink/netlink.ts";
import type { ContainerNetworkOptions } from "./options.ts";
import { publish } from "./install.ts";
import { holdPorts, parseExposed, parsePort, type PublishedPort } from "./ports.ts";

/** Bound host ports, and their forwarding once the container has its addresses. */
export interface Publication {
  /** The ports. */
  readonly ports: readonly PublishedPort[];
  /** Forwards them to the container. Throws {@linkcode NetworkError} `publish-failed`. */
  publish(addresses: readonly Uint8Array[]): void;
  /** Stops forwarding and unbinds them. */
  release(): void;
  /** The descriptors that keep them bound; a process that receives them keeps them bound too. */
  readonly descriptors: readonly number[];
  /** Closes this process's descriptors: the ports stay bound as long as another process holds them. */
  handOver(): void;
}

/**
 * Checks the ports that a container is to publish, and binds them on the host. With `apart` their rules belong to a
 * separate socket, so that they can be handed over.
 *
 * @throws {InputError} `bad-port`.
 * @throws {NetworkError} `port-taken`, `port-forbidden`.
 */
export function takePorts(
  id: string,
  { publish: published = [], publishAll, expose = [] }: ContainerNetworkOptions,
  six: boolean,
  apart: boolean,
): Publication {
  const asked = [...published.map(parsePort), ...(publishAll ? expose.map(parseExposed) : [])];
  const { ports, mappings, descriptors, release } = holdPorts(asked, six);
  const own = apart ? [openNetlink("NETFILTER")] : [];
  const [socket] = own;
  let remove = (): void => {};
  const closeAll = (): void => {
    release();
    own.splice(0).forEach(close);
  };
  return {
    ports,
    descriptors: [...descriptors, ...own],
    publish(addresses) {
      remove = publish(id, mappings, addresses, socket);
    },
    release() {
      remove();
      remove = (): void => {};
      closeAll();
    },
    handOver: closeAll,
  };
}
