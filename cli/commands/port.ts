/**
 * `sauropod port`: published ports of a container.
 *
 * @module
 */

import { statusOf } from "../../lib/container/state/record.ts";
import { findContainer } from "../../lib/container/state/names.ts";
import { readOwnership } from "../../lib/container/state/ownership.ts";
import { InputError, NetworkError } from "../../lib/errors.ts";
import { findFolders, type FolderOptions } from "../../lib/host/folders.ts";
import type { PublishedPort } from "../../lib/network/ports.ts";
import { printOut } from "../output/output.ts";

function formatAddress({ hostAddress, hostPort }: PublishedPort): string {
  return `${hostAddress.includes(":") ? `[${hostAddress}]` : hostAddress}:${hostPort}`;
}

function matcherOf(port: string): (published: PublishedPort) => boolean {
  const [, number, protocol = "tcp"] = /^(\d{1,5})(?:\/(tcp|udp))?$/.exec(port) ?? [];
  if (number !== undefined) return (one) => one.containerPort === Number(number) && one.protocol === protocol;
  throw new InputError(`invalid port ${JSON.stringify(port)}`, {
    code: "bad-port",
    hint: "write 80, 80/tcp or 53/udp",
  });
}

/** Prints the published ports of a container, or one of them. */
export function port(flags: FolderOptions, query: string, wanted?: string): void {
  const { containers } = findFolders(flags), record = findContainer(containers, query);
  const ports = statusOf(record, readOwnership(containers, record.id)) === "exited" ? [] : record.ports ?? [];
  if (wanted === undefined) {
    return printOut(ports.map((one) => `${one.containerPort}/${one.protocol} -> ${formatAddress(one)}\n`).join(""));
  }
  const found = ports.filter(matcherOf(wanted));
  if (found.length > 0) return printOut(found.map((one) => formatAddress(one) + "\n").join(""));
  throw new NetworkError(`port ${wanted} of container ${query} is not published`, {
    code: "port-not-published",
    facts: { container: record.id, port: wanted },
    hint: `list published ports: sauropod port ${query}`,
  });
}
