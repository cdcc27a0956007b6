/**
 * Published ports: their syntax, and their sockets on the host.
 *
 * @module
 */

import { close, SystemError } from "../../ffi/fs/fs.ts";
import { holdPort } from "../../ffi/netlink/sockets.ts";
import { InputError, NetworkError } from "../errors.ts";
import { formatAddress, parseAddress } from "../text/address.ts";

/** Ports of the host's that lead to as many of the container's. */
export interface PortMapping {
  /** The transport protocol. */
  readonly protocol: "tcp" | "udp";
  /** The address of the host's, 4 or 16 bytes. Default: all. */
  readonly address?: Uint8Array;
  /** The first port of the host's; 0 is any that is free. */
  readonly host: number;
  /** The first port of the container's. */
  readonly container: number;
  /** How many. */
  readonly count: number;
}

/** A published port. */
export interface PublishedPort {
  /** The transport protocol. */
  readonly protocol: "tcp" | "udp";
  /** The address of the host's; `0.0.0.0` and `::` are all. */
  readonly hostAddress: string;
  /** The port of the host's. */
  readonly hostPort: number;
  /** The port of the container's. */
  readonly containerPort: number;
}

const EADDRINUSE = 98, EADDRNOTAVAIL = 99, EACCES = 13;

function refuse(text: string, why: string): never {
  throw new InputError(`invalid --publish ${text}: ${why}`, {
    code: "bad-port",
    facts: { value: text },
    hint: "use [IP:][HOST:]CONTAINER[/tcp|udp], such as 8080:80, 127.0.0.1:5432:5432 or 7000-7010:7000-7010/udp",
  });
}

function range(text: string, whole: string): [first: number, count: number] {
  const [, from = "", to = from] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text) ?? [];
  const first = Number(from), last = Number(to);
  if (from === "" || first < 1 || last > 65535) refuse(whole, `${JSON.stringify(text)} is not a port from 1 to 65535`);
  if (last < first) refuse(whole, `descending range ${text}`);
  return [first, last - first + 1];
}

/**
 * Reads `[IP:][HOST:]CONTAINER[/tcp|udp]`; an IPv6 address stands in brackets.
 *
 * @throws {InputError} `bad-port`.
 */
export function parsePort(text: string): PortMapping {
  const [, bracketed, plain, ports = "", kind = "tcp"] =
    /^(?:\[([^\]]*)\]:|([^:[\]]*\.[^:[\]]*):)?([^/[\]]+)(?:\/(.*))?$/.exec(text) ?? [];
  if (kind !== "tcp" && kind !== "udp") refuse(text, `${JSON.stringify(kind)} is neither tcp nor udp`);
  const ip = bracketed ?? plain;
  const address = ip === undefined ? undefined : parseAddress(ip) ?? refuse(text, `${ip} is not an IP address`);
  const [left = "", right, ...rest] = ports.split(":");
  if (ports === "" || rest.length > 0) refuse(text, "malformed");
  const [container, count] = range(right ?? left, text);
  const [host, hostCount] = right === undefined || left === "" ? [0, count] : range(left, text);
  if (hostCount !== count) refuse(text, `${hostCount} host ports for ${count} container ports`);
  return { protocol: kind, host, container, count, ...(address ? { address } : {}) };
}

/**
 * Reads `PORT[/tcp|udp]`, to be published on any port that is free.
 *
 * @throws {InputError} `bad-port`.
 */
export function parseExposed(text: string): PortMapping {
  const [, port = "", kind] = /^(\d+(?:-\d+)?)(\/(?:tcp|udp))?$/.exec(text) ?? [];
  if (port !== "") return parsePort(port + (kind ?? ""));
  throw new InputError(`invalid --expose ${text}: expected PORT[/tcp|udp]`, {
    code: "bad-port",
    facts: { value: text },
  });
}

function describe(error: unknown, port: number, protocol: string, address: Uint8Array): unknown {
  if (!(error instanceof SystemError)) return error;
  const where = `${port}/${protocol} of ${formatAddress(address)}`;
  const facts = { port, protocol, address: formatAddress(address) };
  const reasons: Record<number, [string, string, string]> = {
    [EADDRINUSE]: [
      "port-taken",
      `the port ${where} is in use`,
      "choose another: --publish OTHER:PORT, or :PORT for any",
    ],
    [EADDRNOTAVAIL]: [
      "bad-port",
      `the address ${formatAddress(address)} is not this machine's`,
      "ip address lists them",
    ],
    [EACCES]: ["port-forbidden", `the port ${where} may not be used`, "ports below 1024 need root"],
  };
  const [code, message, hint] = reasons[error.errno] ?? ["port-failed", `the port ${where}: ${error.message}`, ""];
  return new NetworkError(message, { code, facts, hint: hint || undefined, cause: error });
}

/** Ports that are held. */
export interface HeldPorts {
  /** The ports, one by one. */
  readonly ports: readonly PublishedPort[];
  /** The mappings, with the ports that they have got. */
  readonly mappings: readonly PortMapping[];
  /** The descriptors that hold them. */
  readonly descriptors: readonly number[];
  /** Lets go of them. */
  release(): void;
}

/**
 * Binds host ports, so that no other process can. With `six`, ports on all addresses include IPv6.
 *
 * @throws {NetworkError} `port-taken`, `bad-port`, `port-forbidden`. None stays bound then.
 */
export function holdPorts(mappings: readonly PortMapping[], six: boolean): HeldPorts {
  const fds: number[] = [];
  const release = (): void => fds.splice(0).forEach(close);
  const hold = (protocol: "tcp" | "udp", address: Uint8Array, port: number): number => {
    try {
      const held = holdPort(protocol, address, port);
      fds.push(held.fd);
      return held.port;
    } catch (error) {
      release();
      throw describe(error, port, protocol, address);
    }
  };
  const all = [new Uint8Array(4), ...(six ? [new Uint8Array(16)] : [])];
  const ports: PublishedPort[] = [];
  const got = mappings.flatMap((mapping) =>
    Array.from({ length: mapping.count }, (_, i): PortMapping => {
      const { protocol, address } = mapping;
      let host = mapping.host === 0 ? 0 : mapping.host + i;
      const container = mapping.container + i;
      for (const one of address ? [address] : all) {
        host = hold(protocol, one, host);
        ports.push({ protocol, hostAddress: formatAddress(one), hostPort: host, containerPort: container });
      }
      return { ...mapping, host, container, count: 1 };
    })
  );
  // Ranges stay ranges, unless any free port was asked for.
  const kept = mappings.every(({ host }) => host !== 0) ? mappings : got;
  return { ports, mappings: kept, descriptors: fds, release };
}
