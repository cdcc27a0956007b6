/**
 * The routes of the host (`rtnetlink(7)`).
 *
 * @module
 */

import { ask, orNothing } from "./netlink.ts";
import { decodeAttributes, type Message, NLM_F, readU32 } from "./messages.ts";

const GETROUTE = 26;
const RTA = { DST: 1, OIF: 4, PRIORITY: 6 } as const;
const AF_INET = 2, AF_INET6 = 10;
const TABLE_MAIN = 254, TYPE_UNICAST = 1;
const ENOENT = 2;

/** A route of the main table. */
export interface Route {
  /** The destination, 4 or 16 bytes. */
  readonly destination: Uint8Array;
  /** The length of its prefix, in bits; 0 is the default route. */
  readonly prefix: number;
  /** The index of the interface that it leads through; 0 if it has several or none. */
  readonly oif: number;
  /** Its priority; the smallest one is used. */
  readonly priority: number;
}

/** The routes of the main table for IPv4 or IPv6. */
export function listRoutes(fd: number, family: 4 | 6): Route[] {
  const bytes = family === 4 ? 4 : 16;
  const message: Message = {
    type: GETROUTE,
    flags: NLM_F.DUMP,
    header: new Uint8Array([family === 4 ? AF_INET : AF_INET6, 0, 0, 0, TABLE_MAIN, 0, 0, 0, 0, 0, 0, 0]),
    text: "list the routes",
  };
  // A namespace in which no interface was ever up has no table of routes.
  const all = orNothing(ENOENT, () =>
    ask(fd, message, ({ payload }): Route | undefined => {
      if (payload[4] !== TABLE_MAIN || payload[7] !== TYPE_UNICAST) return undefined;
      const attributes = decodeAttributes(payload.subarray(12));
      return {
        destination: (attributes.get(RTA.DST) ?? new Uint8Array(bytes)).slice(),
        prefix: payload[1] ?? 0,
        oif: readU32(attributes.get(RTA.OIF)),
        priority: readU32(attributes.get(RTA.PRIORITY)),
      };
    }));
  return all.filter((route) => route !== undefined);
}
