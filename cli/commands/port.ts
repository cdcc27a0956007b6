/**
 * `sauropod port`: where the ports of a container are published.
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

function place({ hostAddress, hostPort }: PublishedPort): string {
  return `${hostAddress.includes(":") ? `[${hostAddress}]` : hostAddress}:${hostPort}`;
}

function isMeant(port: string): (published: PublishedPort) => boolean {
  const [, number, protocol = "tcp"] = /^(\d{1,5})(?:\/(tcp|udp))?$/.exec(port) ?? [];
  if (number !== undefined) return (one) => one.containerPort === Number(number) && one.protocol === protocol;
  throw new InputError(`${JSON.stringify(port)} is no port`, { code: "bad-port", hint: "80, 80/tcp or 53/udp" });
}

/** Prints where the ports of a container are published, or one of them. */
export function port(flags: FolderOptions, query: string, wanted?: string): void {
  const { containers } = findFolders(flags), record = findContainer(containers, query);
  const ports = statusOf(record, readOwnership(containers, record.id)) === "exited" ? [] : record.ports ?? [];
  if (wanted === undefined) {
    return printOut(ports.map((one) => `${one.containerPort}/${one.protocol} -> ${place(one)}\n`).join(""));
  }
  const found = ports.filter(isMeant(wanted));
  if (found.length > 0) return printOut(found.map((one) => place(one) + "\n").join(""));
  throw new NetworkError(`port ${wanted} of container ${query} is not published`, {
    code: "port-not-published",
    facts: { container: record.id, port: wanted },
    hint: `sauropod port ${query} lists those that are`,
  });
}
