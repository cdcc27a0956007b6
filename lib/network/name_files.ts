/**
 * `/etc/hosts`, `/etc/hostname` and `/etc/resolv.conf` of containers.
 *
 * @module
 */

import type { ContainerNetworkOptions } from "./options.ts";
import { InputError } from "../errors.ts";
import type { FileSpec } from "../program/spec.ts";
import { parseAddress } from "../text/address.ts";
import { formatResolvers, hostResolvers, reachableResolvers, type ResolverConfiguration } from "./resolver.ts";

/** One line of `/etc/hosts`. */
export interface HostLine {
  /** The address. */
  readonly address: string;
  /** Its names. */
  readonly names: readonly string[];
}

/** Host names and addresses of a container on bridged networks. */
export interface Names {
  /** Its host name. */
  readonly hostname: string;
  /** Its own addresses. */
  readonly own: readonly HostLine[];
  /** The lines of `/etc/hosts` that its siblings add. */
  readonly siblings: string;
  /** The host's address on its first network. */
  readonly gateway: string;
}

const LOOPBACK: readonly HostLine[] = [
  { address: "127.0.0.1", names: ["localhost"] },
  { address: "::1", names: ["localhost", "ip6-localhost", "ip6-loopback"] },
];

function format(lines: readonly HostLine[]): string {
  return lines.map(({ address, names }) => `${address}\t${names.join(" ")}\n`).join("");
}

function extraHosts({ addHosts = [] }: ContainerNetworkOptions, gateway: string): HostLine[] {
  return addHosts.map((text) => {
    const [, name = "", target = ""] = /^([^:=\s#]+)[:=](\S+)$/.exec(text) ?? [];
    const address = target === "host-gateway" ? gateway : target.replace(/^\[(.*)\]$/, "$1");
    if (name !== "" && parseAddress(address)) return { address, names: [name] };
    throw new InputError(`invalid --add-host ${text}: expected NAME:ADDRESS`, {
      code: "bad-host",
      facts: { value: text },
      hint: "use a pair such as db:192.168.1.7, or db:host-gateway for this machine",
    });
  });
}

function resolvers(
  { dns, dnsSearch, dnsOptions }: ContainerNetworkOptions,
  host: ResolverConfiguration,
): ResolverConfiguration {
  const bad = dns?.find((server) => !parseAddress(server));
  if (bad !== undefined) {
    throw new InputError(`invalid --dns ${bad}: not an IP address`, { code: "bad-dns", facts: { value: bad } });
  }
  const words = [...dnsSearch ?? [], ...dnsOptions ?? []];
  const blank = words.find((word) => !/^[^\s#;]+$/.test(word));
  if (blank !== undefined) {
    throw new InputError(`invalid word for resolv.conf ${JSON.stringify(blank)}`, { code: "bad-dns" });
  }
  return {
    servers: dns?.length ? dns : host.servers,
    search: dnsSearch ?? host.search,
    options: dnsOptions ?? host.options,
  };
}

function files(hostname: string, hosts: string, resolver: ResolverConfiguration): FileSpec[] {
  return [
    { path: "/etc/hosts", text: hosts },
    { path: "/etc/hostname", text: hostname + "\n" },
    { path: "/etc/resolv.conf", text: formatResolvers(resolver) },
  ];
}

function whole(text: string): string {
  return text.endsWith("\n") || text === "" ? text : text + "\n";
}

function hostsOfMachine(): string {
  try {
    return whole(Deno.readTextFileSync("/etc/hosts"));
  } catch {
    return format(LOOPBACK);
  }
}

/** Returns the `/etc/hosts` line of a container without an address of its own. */
function itself(hostname: string): HostLine {
  return { address: "127.0.1.1", names: [hostname] };
}

/**
 * Returns the files of a container on no bridge.
 *
 * @throws {InputError} `bad-host`, `bad-dns`.
 */
export function apartFiles(mode: "none" | "host", hostname: string, options: ContainerNetworkOptions): FileSpec[] {
  const own = [itself(hostname), ...extraHosts(options, "127.0.0.1")];
  const known = mode === "host" ? hostsOfMachine() : format(LOOPBACK);
  return files(hostname, known + format(own), resolvers(options, hostResolvers()));
}

/**
 * Returns the files of a container on bridged networks.
 *
 * @throws {InputError} `bad-host`, `bad-dns`.
 */
export function bridgedFiles(
  { hostname, own, siblings, gateway }: Names,
  options: ContainerNetworkOptions,
): FileSpec[] {
  const host = reachableResolvers();
  // Rules lead the gateway's port 53 to a resolver on the host's loopback.
  const reachable = host.servers.length > 0 ? host : { ...host, servers: [gateway] };
  const hosts = format([...LOOPBACK, ...own, ...extraHosts(options, gateway)]) + siblings;
  return files(hostname, hosts, resolvers(options, reachable));
}

/**
 * Returns the files of a container in another one's network: that container's own, through `read`, with its own host
 * name.
 */
export function sharedFiles(hostname: string, read: (path: string) => string | undefined): FileSpec[] {
  return [
    { path: "/etc/hosts", text: whole(read("/etc/hosts") ?? format(LOOPBACK)) + format([itself(hostname)]) },
    { path: "/etc/hostname", text: hostname + "\n" },
    { path: "/etc/resolv.conf", text: read("/etc/resolv.conf") ?? formatResolvers(reachableResolvers()) },
  ];
}
