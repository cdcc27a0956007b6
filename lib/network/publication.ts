/**
 * Published ports of a container: held on the host, then led to the container's addresses.
 *
 * @module
 */

import type { ContainerOptions } from "../container/options.ts";
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
}

/**
 * Checks the ports that a container is to publish, and takes them on the host.
 *
 * @throws {InputError} `bad-port`.
 * @throws {NetworkError} `port-taken`, `port-forbidden`.
 */
export function takePorts(
  id: string,
  { publish: published = [], publishAll, expose = [] }: ContainerOptions,
  six: boolean,
): Publication {
  const asked = [...published.map(parsePort), ...(publishAll ? expose.map(parseExposed) : [])];
  const { ports, mappings, release } = holdPorts(asked, six);
  let close = (): void => {};
  return {
    ports,
    publish(addresses) {
      close = publish(id, mappings, addresses);
    },
    release() {
      close();
      close = (): void => {};
      release();
    },
  };
}
