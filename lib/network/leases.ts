/**
 * Address leases.
 *
 * The kernel keeps them: the host end of a container's veth carries the address in its name, interface names are
 * unique, and the veth goes with the container's network namespace. The file `/run/sauropod/net-INODE/leases` (INODE of
 * the host's network namespace) tells people and peers the containers of the addresses, one line each.
 *
 * @module
 */

import { flags } from "../../ffi/program/flags.ts";
import { appendLines, AT_FDCWD, lock, openAt, writeAll } from "../../ffi/fs/fs.ts";
import { Fd } from "../../ffi/fs/fd.ts";
import { withNetlink } from "../../ffi/netlink/netlink.ts";
import { readLink, readOwnFile } from "../../ffi/fs/paths.ts";
import { findLink } from "../../ffi/netlink/rtnetlink.ts";
import { isAlive, type ProcessIdentity } from "../host/process_identity.ts";
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

function openLock(): number {
  const path = `${folder()}/lock`;
  const how = flags("O", "RDWR", "CREAT", "NOFOLLOW", "NONBLOCK");
  try {
    return openAt(AT_FDCWD, path, how, 0o600);
  } catch {
    // The directory is missing, as after a boot.
  }
  try {
    Deno.mkdirSync(folder(), { recursive: true, mode: 0o700 });
    return openAt(AT_FDCWD, path, how, 0o600);
  } catch (error) {
    throw new NetworkError(`cannot use networks: ${messageOf(error)}`, {
      code: "run-unwritable",
      facts: { folder: folder() },
      hint: "run as root with a writable /run, or use --network none or --network host",
      cause: error,
    });
  }
}

let last = Promise.resolve();

/** The lock on networks, held until the end of its scope. */
export interface NetworkLock extends Disposable {
  /** Its descriptor; another process that is given it holds the lock as well. */
  readonly fd: number;
}

/** Locks networks against other processes and other tasks of this one. Waits without blocking the event loop. */
export async function lockNetworks(): Promise<NetworkLock> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const before = last;
  last = promise;
  await before;
  using held = new DisposableStack();
  held.defer(resolve);
  const fd = held.use(new Fd(openLock())).number;
  await waitUntil(() => lock(fd, "exclusive", false), { interval: POLL_MS });
  const kept = held.move();
  return { fd, [Symbol.dispose]: () => kept.dispose() };
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
    // A partial line of a killed process.
    if (error instanceof SyntaxError) return [];
    throw error;
  }
}

function path(): string {
  return `${folder()}/leases`;
}

// Most of the file is unchanged since it was last read.
let known: { readonly text: string; readonly leases: readonly Lease[] } = { text: "", leases: [] };

/** Returns all leases, also of containers that have ended unseen. */
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
  using fd = new Fd(openAt(AT_FDCWD, file, flags("O", "RDWR", "CREAT", "NOFOLLOW", "NONBLOCK", how), 0o600));
  work(fd.number);
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

/** Returns the name that the host's end of an interface with this IPv4 address has. */
export function hostEnd(address: Uint8Array): string {
  return hostEndOf(address.toHex());
}

/** Reports whether an interface of that name is the host's end of one. */
export function isHostEnd(name: string): boolean {
  return /^veth[0-9a-f]{8}$/.test(name);
}

/** Returns the IPv4 address that the name of a host's end says; undefined if it is not the name of one. */
export function addressOfHostEnd(name: string): Uint8Array | undefined {
  return isHostEnd(name) ? Uint8Array.fromHex(name.slice("veth".length)) : undefined;
}

/** Returns the hardware address that goes with an IPv4 address. */
export function macOf(address: Uint8Array): Uint8Array {
  return Uint8Array.of(0x02, 0x53, ...address);
}

function hostEndOf(hex: string): string {
  return `veth${hex}`;
}

/** Reports whether a lease's container still runs. */
export function isLiving({ process }: Lease): boolean {
  return process !== undefined && isAlive(process);
}

function exists(name: string): boolean {
  return withNetlink("ROUTE", (fd) => findLink(fd, name)) !== undefined;
}

/** Reports whether a lease is free: its container has ended, and the kernel has removed its interface. */
export function isDead(lease: Lease): boolean {
  return !isLiving(lease) && !exists(lease.host);
}

function wantedAddress({ network }: Bridge, text: string): Uint8Array {
  const [{ subnet }] = network.subnets;
  const [host = "", prefix] = text.split("/");
  const address = parseAddress(host);
  if (!address || address.length !== 4 || (prefix !== undefined && prefix !== String(subnet.prefix))) {
    throw new InputError(`invalid address ${text} on network ${network.name}`, {
      code: "bad-address",
      facts: { address: text, network: network.name },
      hint: `use an IPv4 address, with or without /${subnet.prefix}`,
    });
  }
  checkHostAddress(subnet, address, "address");
  return address;
}

/**
 * Chooses a container's IPv4 address: the requested one, or the first free one. Taken are leased addresses (even if the
 * container removed its interface, since its published ports still lead there) and those of interfaces without a lease.
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
    throw new NetworkError(`cannot reserve address ${formatAddress(address)}: taken on network ${network.name}`, {
      code: "address-taken",
      facts: { address: formatAddress(address), network: network.name },
      hint: `omit the address, or list the taken ones with: sauropod network inspect ${network.name}`,
    });
  }
  const start = Number(`0x${addressAt(subnet, 0n).toHex()}`), end = start + Number(sizeOf(subnet)) - 1;
  for (let number = start + 1; number < end; number++) {
    const hex = number.toString(16).padStart(8, "0");
    if (leased.has(hostEndOf(hex))) continue;
    const address = Uint8Array.fromHex(hex);
    if (isFree(address)) return address;
  }
  throw new NetworkError(`cannot reserve an address: network ${network.name} is full`, {
    code: "network-full",
    facts: { network: network.name },
    hint: "remove containers, or create a network with a larger subnet",
  });
}

/**
 * Returns all addresses of a container on a network: the IPv4 one, and for each further subnet the one as far from its
 * start.
 */
export function allAddresses({ network }: Bridge, address: Uint8Array): Uint8Array[] {
  const [{ subnet }, ...others] = network.subnets;
  const offset = offsetIn(subnet, address);
  return [address, ...others.map((other) => addressAt(other.subnet, offset))];
}

/**
 * Reports whether the further subnets have an address at the same offset: they may be smaller, or the host's address
 * may lie there.
 */
function haveRoom(bridge: Bridge, address: Uint8Array): boolean {
  return allAddresses(bridge, address).slice(1).every((one, i) => {
    const other = bridge.network.subnets[i + 1];
    return other !== undefined && contains(other.subnet, one) && !sameAddress(one, other.gateway);
  });
}
