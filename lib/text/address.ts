/**
 * IP addresses and CIDR prefixes. An address is 4 or 16 bytes.
 *
 * @module
 */

import { InputError } from "../errors.ts";

/** An address and the length of its network's prefix in bits: `10.10.10.1/24`. */
export interface Cidr {
  /** The address, 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** The length of the prefix in bits. */
  readonly prefix: number;
}

const OCTET = /^(0|[1-9]\d{0,2})$/;

function parseV4(text: string): Uint8Array | undefined {
  const parts = text.split(".");
  const bytes = parts.map(Number);
  return parts.length === 4 && parts.every((part) => OCTET.test(part)) && bytes.every((byte) => byte < 256)
    ? Uint8Array.from(bytes)
    : undefined;
}

function groupsOf(text: string): number[] | undefined {
  const parts = text === "" ? [] : text.split(":");
  return parts.every((part) => /^[0-9a-fA-F]{1,4}$/.test(part)) ? parts.map((part) => parseInt(part, 16)) : undefined;
}

/** Returns the last 32 bits may be written as an IPv4 address. */
function hexadecimal(text: string): string {
  const last = text.slice(text.lastIndexOf(":") + 1);
  const [a = 0, b = 0, c = 0, d = 0] = (last.includes(".") ? parseV4(last) : undefined) ?? [];
  if (!last.includes(".") || !parseV4(last)) return text;
  return text.slice(0, -last.length) + `${(a << 8 | b).toString(16)}:${(c << 8 | d).toString(16)}`;
}

function parseV6(text: string): Uint8Array | undefined {
  const halves = hexadecimal(text).split("::");
  const head = groupsOf(halves[0] ?? ""), tail = groupsOf(halves[1] ?? "");
  if (halves.length > 2 || !head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

/** Parses an IP address; returns undefined if `text` is not one. Zones and leading zeros are rejected. */
export function parseAddress(text: string): Uint8Array | undefined {
  return text.includes(":") ? parseV6(text) : parseV4(text);
}

/** Formats an address; IPv6 as RFC 5952 requires. */
export function formatAddress(address: Uint8Array): string {
  if (address.length === 4) return address.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => (address[2 * i] ?? 0) << 8 | (address[2 * i + 1] ?? 0));
  const text = groups.map((group) => group.toString(16)).join(":");
  const zeros = [...text.matchAll(/(?:^|:)(?:0(?::|$)){2,}/g)].map(([run]) => run);
  const groupsIn = (run: string): number => run.replaceAll(":", "").length;
  const longest = zeros.reduce((best, run) => groupsIn(run) > groupsIn(best) ? run : best, "");
  return longest === "" ? text : text.replace(longest, "::");
}

/** Formats an address and its prefix in CIDR notation. */
export function formatCidr({ address, prefix }: Cidr): string {
  return `${formatAddress(address)}/${prefix}`;
}

/**
 * Parses CIDR notation, `ADDRESS/PREFIX`.
 *
 * @throws {InputError} `bad-address`. `what` names the option.
 */
export function parseCidr(text: string, what: string): Cidr {
  const [host = "", bits, ...rest] = text.split("/");
  const address = parseAddress(host);
  const prefix = bits !== undefined && /^\d{1,3}$/.test(bits) ? Number(bits) : NaN;
  if (address && rest.length === 0 && prefix <= address.length * 8) return { address, prefix };
  throw new InputError(`invalid ${what} ${JSON.stringify(text)}`, {
    code: "bad-address",
    facts: { value: text },
    hint: "use ADDRESS/PREFIX, such as 10.10.10.1/24",
  });
}

function toNumber(address: Uint8Array): bigint {
  return address.reduce((sum, byte) => sum << 8n | BigInt(byte), 0n);
}

function fromNumber(value: bigint, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => Number(value >> BigInt(8 * (length - 1 - i)) & 0xffn));
}

/** Returns the network that an address is in: all bits behind the prefix are 0. */
export function networkOf({ address, prefix }: Cidr): Cidr {
  const bits = BigInt(address.length * 8 - prefix);
  return { address: fromNumber(toNumber(address) >> bits << bits, address.length), prefix };
}

/** Returns the number of addresses of a network. */
export function sizeOf({ address, prefix }: Cidr): bigint {
  return 1n << BigInt(address.length * 8 - prefix);
}

/** Returns the address `n` behind the first of a network. */
export function addressAt(network: Cidr, n: bigint): Uint8Array {
  const first = networkOf(network).address;
  return fromNumber(toNumber(first) + n, first.length);
}

/** Returns the offset of an address in a network. */
export function offsetIn(network: Cidr, address: Uint8Array): bigint {
  return toNumber(address) - toNumber(networkOf(network).address);
}

/** Reports whether an address lies in a network. */
export function contains(network: Cidr, address: Uint8Array): boolean {
  if (network.address.length !== address.length) return false;
  const offset = offsetIn(network, address);
  return offset >= 0n && offset < sizeOf(network);
}

/** Reports whether two networks have an address in common. */
export function overlap(a: Cidr, b: Cidr): boolean {
  return a.prefix <= b.prefix ? contains(a, b.address) : contains(b, a.address);
}

/** Reports whether two addresses are the same. */
export function sameAddress(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
