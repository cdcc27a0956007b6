/**
 * Who has which address.
 *
 * The kernel keeps the leases: the host's end of a container's interface bears the address in its name, no two
 * interfaces can have the same name, and it goes when the container's network namespace goes. A file beside says to
 * people and to siblings whose it is: `/run/sauropod/net-INODE/leases`, INODE being the host's network namespace. It has
 * a line for each, so that one more costs a line however many there are.
 *
 * @module
 */

import { flags } from "../../ffi/program/flags.ts";
import { appendLines, AT_FDCWD, close, lock, openAt, writeAll } from "../../ffi/fs/fs.ts";
import { withNetlink } from "../../ffi/netlink/netlink.ts";
import { readLink, readOwnFile } from "../../ffi/fs/paths.ts";
import { findLink } from "../../ffi/netlink/rtnetlink.ts";
import { isAlive, type ProcessIdentity } from "../container/state/record.ts";
import { InputError, messageOf, NetworkError } from "../errors.ts";
import { waitUntil } from "../host/poll.ts";
import { addressAt, contains, formatAddress, offsetIn, parseAddress, sameAddress, sizeOf } from "../text/address.ts";
import type { Bridge } from "./bridge.ts";
import { checkHostAddress } from "./definition.ts";

/** A container's place on a network. */
export interface Lease {
  /** The container's id. */
  readonly id: string;
  /** The network's name. */
  readonly network: string;
  /** The name of the host's end of its interface. */
  readonly host: string;
  /** Its addresses, IPv4 first. */
  readonly addresses: readonly string[];
  /** The names by which siblings find it. */
  readonly names: readonly string[];
  /** Its first process, or its monitor. */
  readonly process?: ProcessIdentity;
  /** Its `/etc/hosts`, if that is a file of the host's. */
  readonly hosts?: string;
}

const RUN = "/run/sauropod";
const POLL_MS = 1;

let own: string | undefined;

function folder(): string {
  if (own !== undefined) return own;
  const link = readLink("/proc/self/ns/net") ?? "";
  return own = `${RUN}/net-${link.slice(link.indexOf("[") + 1, -1)}`;
}

let last: Promise<unknown> = Promise.resolve();

/**
 * Runs `work` while nobody else changes networks: neither another process nor another part of this one. It is given the
 * descriptor of the lock, which another process that has got it holds, too.
 */
export function withLock<T>(work: (lock: number) => Promise<T>): Promise<T> {
  const turn = last.then(() => whileLocked(work));
  last = turn.catch(() => {});
  return turn;
}

function openLock(): number {
  const path = `${folder()}/lock`;
  const how = flags("O", "RDWR", "CREAT", "NOFOLLOW", "NONBLOCK");
  try {
    return openAt(AT_FDCWD, path, how, 0o600);
  } catch {
    // The folder is missing, as after a boot.
  }
  try {
    Deno.mkdirSync(folder(), { recursive: true, mode: 0o700 });
    return openAt(AT_FDCWD, path, how, 0o600);
  } catch (error) {
    throw new NetworkError(`networks cannot be used: ${messageOf(error)}`, {
      code: "run-unwritable",
      facts: { folder: folder() },
      hint: "bridged networks need root and a writable /run; --network none and --network host do without",
      cause: error,
    });
  }
}

// Waiting must not stop the event loop, on which other containers of this process live.
async function whileLocked<T>(work: (lock: number) => Promise<T>): Promise<T> {
  const fd = openLock();
  try {
    await waitUntil(() => lock(fd, "exclusive", false), { interval: POLL_MS });
    return await work(fd);
  } finally {
    close(fd);
  }
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === "string");
}

function isLease(value: unknown): value is Lease {
  return typeof value === "object" && value !== null &&
    "id" in value && typeof value.id === "string" && "network" in value && typeof value.network === "string" &&
    "host" in value && typeof value.host === "string" && isHostEnd(value.host) &&
    "addresses" in value && isTexts(value.addresses) && "names" in value && isTexts(value.names) &&
    (!("hosts" in value) || typeof value.hosts === "string") &&
    (!("process" in value) || typeof value.process === "object" && value.process !== null);
}

function parseLine(line: string): Lease[] {
  try {
    const value: unknown = JSON.parse(line);
    return isLease(value) ? [value] : [];
  } catch (error) {
    // Half a line of somebody who was killed.
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}

function path(): string {
  return `${folder()}/leases`;
}

// Most of the file is what it was when it was read last.
let known: { readonly text: string; readonly leases: readonly Lease[] } = { text: "", leases: [] };

/** All leases, also of containers that have ended unseen. */
export function readLeases(): readonly Lease[] {
  const all = readOwnFile(path()) ?? "", text = all.slice(0, all.lastIndexOf("\n") + 1);
  if (!text.startsWith(known.text)) known = { text: "", leases: [] };
  const lines = text.slice(known.text.length).split("\n").filter((line) => line !== "");
  if (lines.length > 0) known = { text, leases: [...known.leases, ...lines.flatMap(parseLine)] };
  return known.leases;
}

function linesOf(leases: readonly Lease[]): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(leases.map((lease) => JSON.stringify(lease) + "\n").join(""));
}

function writeTo(file: string, how: "APPEND" | "TRUNC", work: (fd: number) => void): void {
  const fd = openAt(AT_FDCWD, file, flags("O", "RDWR", "CREAT", "NOFOLLOW", "NONBLOCK", how), 0o600);
  try {
    work(fd);
  } finally {
    close(fd);
  }
}

/** Adds leases to those that there are. */
export function addLeases(leases: readonly Lease[]): void {
  writeTo(path(), "APPEND", (fd) => appendLines(fd, linesOf(leases)));
}

/** Replaces all leases. */
export function writeLeases(leases: readonly Lease[]): void {
  writeTo(`${path()}.new`, "TRUNC", (fd) => writeAll(fd, linesOf(leases)));
  Deno.renameSync(`${path()}.new`, path());
}

/** The name that the host's end of an interface with this IPv4 address has. */
export function hostEnd(address: Uint8Array): string {
  return hostEndOf(address.toHex());
}

/** Whether an interface of that name is the host's end of one. */
export function isHostEnd(name: string): boolean {
  return /^veth[0-9a-f]{8}$/.test(name);
}

/** The IPv4 address that the name of a host's end says; undefined if it is not the name of one. */
export function addressOfHostEnd(name: string): Uint8Array | undefined {
  return isHostEnd(name) ? Uint8Array.fromHex(name.slice("veth".length)) : undefined;
}

/** The hardware address that goes with an IPv4 address. */
export function macOf(address: Uint8Array): Uint8Array {
  return Uint8Array.of(0x02, 0x53, ...address);
}

function hostEndOf(hex: string): string {
  return `veth${hex}`;
}

/** Whether a lease's container still runs. */
export function isLiving({ process }: Lease): boolean {
  return process !== undefined && isAlive(process);
}

function exists(name: string): boolean {
  return withNetlink("ROUTE", (fd) => findLink(fd, name)) !== undefined;
}

/** Whether a lease is nobody's any more: its container has ended, and the kernel has taken its interface away. */
export function isDead(lease: Lease): boolean {
  return !isLiving(lease) && !exists(lease.host);
}

function wantedAddress({ network }: Bridge, text: string): Uint8Array {
  const [{ subnet }] = network.subnets;
  const [host = "", prefix] = text.split("/");
  const address = parseAddress(host);
  if (!address || address.length !== 4 || (prefix !== undefined && prefix !== String(subnet.prefix))) {
    throw new InputError(`${text} is no address on ${network.name}`, {
      code: "bad-address",
      facts: { address: text, network: network.name },
      hint: `an IPv4 address, with or without /${subnet.prefix}`,
    });
  }
  checkHostAddress(subnet, address, "the address");
  return address;
}

/**
 * Chooses a container's IPv4 address: the one that it wants, or the first that is free. Taken are those of leases, also of
 * containers that have removed their interface, as their published ports still lead there, and those of interfaces of
 * which no lease tells.
 *
 * @throws {InputError} `bad-address`.
 * @throws {NetworkError} `address-taken`, `network-full`.
 */
export function chooseAddress(bridge: Bridge, leases: readonly Lease[], wanted?: string): Uint8Array {
  const { network } = bridge;
  const [{ subnet, gateway }] = network.subnets;
  const leased = new Set(leases.map(({ host }) => host));
  const isTaken = (address: Uint8Array): boolean =>
    sameAddress(address, gateway) || leased.has(hostEnd(address)) || exists(hostEnd(address));
  const isFree = (address: Uint8Array): boolean => !isTaken(address) && haveRoom(bridge, address);
  if (wanted !== undefined) {
    const address = wantedAddress(bridge, wanted);
    if (isFree(address)) return address;
    throw new NetworkError(`${formatAddress(address)} is taken on the network ${network.name}`, {
      code: "address-taken",
      facts: { address: formatAddress(address), network: network.name },
      hint: "leave the choice to Sauropod, or see: sauropod network inspect " + network.name,
    });
  }
  const start = Number(`0x${addressAt(subnet, 0n).toHex()}`), end = start + Number(sizeOf(subnet)) - 1;
  for (let number = start + 1; number < end; number++) {
    const hex = number.toString(16).padStart(8, "0");
    if (leased.has(hostEndOf(hex))) continue;
    const address = Uint8Array.fromHex(hex);
    if (isFree(address)) return address;
  }
  throw new NetworkError(`every address of the network ${network.name} is taken`, {
    code: "network-full",
    facts: { network: network.name },
    hint: "remove containers, or make a network with a larger subnet",
  });
}

/** All addresses of a container on a network: the IPv4 one, and for each further subnet the one as far from its start. */
export function allAddresses({ network }: Bridge, address: Uint8Array): Uint8Array[] {
  const [{ subnet }, ...others] = network.subnets;
  const offset = offsetIn(subnet, address);
  return [address, ...others.map((other) => addressAt(other.subnet, offset))];
}

/** Whether the further subnets have an address for whoever has this one: they may be smaller, or the host's lie there. */
function haveRoom(bridge: Bridge, address: Uint8Array): boolean {
  return allAddresses(bridge, address).slice(1).every((one, i) => {
    const other = bridge.network.subnets[i + 1];
    return other !== undefined && contains(other.subnet, one) && !sameAddress(one, other.gateway);
  });
}
