/**
 * Published ports of a container: held on the host, then led to the container's addresses.
 *
 * @module
 */

import { close } from "../../ffi/fs/fs.ts";
import { openNetlink } from "../../ffi/netlink/netlink.ts";
import type { ContainerNetworkOptions } from "./options.ts";
import { publish } from "./install.ts";
import { holdPorts, parseExposed, parsePort, type PublishedPort } from "./ports.ts";

/** Ports that are held, and how they are led to the container when it has its addresses. */
export interface Publication {
  /** The ports. */
  readonly ports: readonly PublishedPort[];
  /** Leads them to the container. Throws {@linkcode NetworkError} `publish-failed`. */
  publish(addresses: readonly Uint8Array[]): void;
  /** Lets go of them. */
  release(): void;
  /** The descriptors that hold them; another process that has got them holds them too. */
  readonly descriptors: readonly number[];
  /** Closes our descriptors: the ports stay as long as another process has them. */
  handOver(): void;
}

/**
 * Checks the ports that a container is to publish, and takes them on the host. With `apart` their rules belong to a
 * socket of their own, so that they can be handed over.
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
