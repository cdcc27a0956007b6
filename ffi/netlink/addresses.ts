/**
 * Addresses of network interfaces (`RTM_NEWADDR`, `RTM_DELADDR` and `RTM_GETADDR` of rtnetlink(7)).
 *
 * @module
 */

import { ERRNO } from "../errno.ts";
import { UAPI } from "../program/flags.ts";
import { type Attribute, decodeAttributes, type Message, NLM_F, readU32, u32 } from "./messages.ts";
import { ask, orNothing } from "./netlink.ts";

const RTM = { NEWADDR: 20, DELADDR: 21, GETADDR: 22 } as const;
const IFA = { ADDRESS: 1, LOCAL: 2, BROADCAST: 4, FLAGS: 8 } as const, IFA_F_NODAD = 2;

/** Returns the address family of 4 or 16 bytes. */
export function addressFamily(address: Uint8Array): number {
  return address.length === 4 ? UAPI.AF_INET : UAPI.AF_INET6;
}

/** An address of a network interface. */
export interface LinkAddress {
  /** The index of the interface. */
  readonly index: number;
  /** The address, 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** The prefix length. */
  readonly prefix: number;
}

/** Encodes `struct ifaddrmsg`. */
function addressHeader(index: number, address: Uint8Array, prefix: number): Uint8Array {
  return new Uint8Array([addressFamily(address), prefix, 0, 0, ...u32(index)]);
}

function broadcast(address: Uint8Array, prefix: number): Uint8Array {
  return address.map((byte, i) => byte | (0xff >> Math.min(8, Math.max(0, prefix - i * 8))));
}

/** Adds an address to an interface; an IPv6 one without duplicate address detection, since it is leased. */
export function newAddress(index: number, address: Uint8Array, prefix: number, label: string): Message {
  const own: Attribute[] = address.length === 4
    ? [[IFA.LOCAL, address], ...(prefix < 31 ? [[IFA.BROADCAST, broadcast(address, prefix)] as const] : [])]
    : [[IFA.FLAGS, u32(IFA_F_NODAD)]];
  return {
    type: RTM.NEWADDR,
    flags: NLM_F.ACK | NLM_F.CREATE | NLM_F.REPLACE,
    header: addressHeader(index, address, prefix),
    attributes: [[IFA.ADDRESS, address], ...own],
    text: `give ${label}`,
  };
}

/** Removes an address from an interface. */
export function deleteAddress({ index, address, prefix }: LinkAddress, label: string): Message {
  return {
    type: RTM.DELADDR,
    flags: NLM_F.ACK,
    header: addressHeader(index, address, prefix),
    attributes: [[IFA.ADDRESS, address], ...(address.length === 4 ? [[IFA.LOCAL, address] as const] : [])],
    text: `remove ${label}`,
  };
}

/** Lists the addresses of the interface with that index. */
export function listAddresses(fd: number, index: number): LinkAddress[] {
  const message: Message = {
    type: RTM.GETADDR,
    flags: NLM_F.DUMP,
    header: addressHeader(index, new Uint8Array(4), 0).fill(0, 0, 1),
    text: "list the addresses",
  };
  const all = orNothing(ERRNO.ENODEV, () =>
    ask(fd, message, ({ payload }): LinkAddress => {
      const attributes = decodeAttributes(payload.subarray(8));
      const address = attributes.get(IFA.LOCAL) ?? attributes.get(IFA.ADDRESS) ?? new Uint8Array();
      return { index: readU32(payload.subarray(4)), prefix: payload[1] ?? 0, address: address.slice() };
    }));
  return all.filter((address) => address.index === index);
}
