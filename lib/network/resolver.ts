/**
 * The host's name servers, and those that a container can reach.
 *
 * @module
 */

import { readSmallFile } from "../../ffi/fs/paths.ts";
import { formatAddress, parseAddress } from "../text/address.ts";

/** `resolv.conf(5)`, as far as containers need it. */
export interface ResolverConfiguration {
  /** Addresses of name servers, in order. */
  readonly servers: readonly string[];
  /** Domains in which to look for names. */
  readonly search: readonly string[];
  /** Options. */
  readonly options: readonly string[];
}

// The upstream servers of systemd-resolved(8), if /etc/resolv.conf names only its loopback address.
const FILES = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/** Reads the text of a resolv.conf(5). */
export function parseResolvers(text: string): ResolverConfiguration {
  const lines = text.split("\n").map((line) => line.replace(/[#;].*/, "").trim().split(/\s+/));
  const values = (keyword: string): string[][] =>
    lines.filter(([first]) => first === keyword).map(([, ...rest]) => rest);
  return {
    servers: values("nameserver").flatMap(([server]) => server ?? []),
    search: lines.filter(([first]) => first === "domain" || first === "search").at(-1)?.slice(1) ?? [],
    options: values("options").flat(),
  };
}

/** Returns the text of a resolv.conf(5). */
export function formatResolvers({ servers, search, options }: ResolverConfiguration): string {
  return [
    ...servers.map((server) => `nameserver ${server}\n`),
    ...(search.length ? [`search ${search.join(" ")}\n`] : []),
    ...(options.length ? [`options ${options.join(" ")}\n`] : []),
  ].join("");
}

function isLoopback(server: string): boolean {
  const address = parseAddress(server);
  return address !== undefined && (address[0] === 127 || formatAddress(address) === "::1");
}

function isV4(server: string): boolean {
  return parseAddress(server)?.length === 4;
}

/** Returns the host's own configuration. */
export function hostResolvers(): ResolverConfiguration {
  return parseResolvers(readSmallFile("/etc/resolv.conf") ?? "");
}

/** Returns the host's configuration with only those servers that are not on its loopback. */
export function reachableResolvers(): ResolverConfiguration {
  for (const path of FILES) {
    const found = parseResolvers(readSmallFile(path) ?? "");
    const servers = found.servers.filter((server) => parseAddress(server) && !isLoopback(server));
    if (servers.length > 0) return { ...found, servers };
  }
  return { ...hostResolvers(), servers: [] };
}

/**
 * Returns the host's resolver on its loopback, if there is no other; the gateway of a network leads to it. IPv4 only.
 */
export function hostResolver(): Uint8Array | undefined {
  if (reachableResolvers().servers.length > 0) return undefined;
  const server = hostResolvers().servers.find((server) => isLoopback(server) && isV4(server));
  return server === undefined ? undefined : parseAddress(server);
}
