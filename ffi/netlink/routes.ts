/**
 * Routes (`RTM_NEWROUTE` and `RTM_GETROUTE` of rtnetlink(7)).
 *
 * @module
 */

import { ERRNO } from "../errno.ts";
import { addressFamily } from "./addresses.ts";
import { decodeAttributes, type Message, NLM_F, readU32, u32 } from "./messages.ts";
import { ask, orNothing } from "./netlink.ts";

const RTM = { NEWROUTE: 24, GETROUTE: 26 } as const;
const RTA = { DST: 1, OIF: 4, GATEWAY: 5, PRIORITY: 6 } as const;
const RT_TABLE_MAIN = 254, RTPROT_STATIC = 4, RTN_UNICAST = 1;

/** Encodes `struct rtmsg` for the main table and the family of `address`. */
function routeHeader(address: Uint8Array, protocol: number, type: number): Uint8Array {
  return Uint8Array.of(addressFamily(address), 0, 0, 0, RT_TABLE_MAIN, protocol, 0, type, 0, 0, 0, 0);
}

/** Adds the default route through `gateway`. */
export function newDefaultRoute(index: number, gateway: Uint8Array, label: string): Message {
  return {
    type: RTM.NEWROUTE,
    flags: NLM_F.ACK | NLM_F.CREATE,
    header: routeHeader(gateway, RTPROT_STATIC, RTN_UNICAST),
    attributes: [[RTA.GATEWAY, gateway], [RTA.OIF, u32(index)]],
    text: `add the default route through ${label}`,
  };
}

/** A route of the main table. */
export interface Route {
  /** The destination network, 4 or 16 bytes. */
  readonly destination: Uint8Array;
  /** The prefix length; 0 for the default route. */
  readonly prefix: number;
  /** The index of the outgoing interface; 0 if there are several or none. */
  readonly oif: number;
  /** The metric; the smallest one is used. */
  readonly priority: number;
}

/** Lists the routes of the main table for IPv4 or IPv6. */
export function listRoutes(fd: number, family: 4 | 6): Route[] {
  const any = new Uint8Array(family === 4 ? 4 : 16);
  const message: Message = {
    type: RTM.GETROUTE,
    flags: NLM_F.DUMP,
    header: routeHeader(any, 0, 0),
    text: "list the routes",
  };
  // ENOENT: the table is missing until the first interface of a namespace is up.
  const all = orNothing(ERRNO.ENOENT, () =>
    ask(fd, message, ({ payload }): Route | undefined => {
      if (payload[4] !== RT_TABLE_MAIN || payload[7] !== RTN_UNICAST) return undefined;
      const attributes = decodeAttributes(payload.subarray(12));
      return {
        destination: (attributes.get(RTA.DST) ?? any).slice(),
        prefix: payload[1] ?? 0,
        oif: readU32(attributes.get(RTA.OIF)),
        priority: readU32(attributes.get(RTA.PRIORITY)),
      };
    }));
  return all.filter((route) => route !== undefined);
}
