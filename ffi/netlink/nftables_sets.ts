/**
 * Changes of named nf_tables sets as data.
 *
 * @module
 */

import { be32, type Message, NLM_F, text, u32 } from "./messages.ts";
import { elementAttribute, ELEMENTS, message, type SetPlace } from "./nftables.ts";

/** The data types of keys: their number in nft(8), and the length in registers. */
const PART = {
  ifname: { type: 41, length: 16 },
  ether_addr: { type: 9, length: 8 },
  ipv4_addr: { type: 7, length: 4 },
  ipv6_addr: { type: 8, length: 16 },
} as const;

const SET = { TABLE: 1, NAME: 2, FLAGS: 3, KEY_TYPE: 4, KEY_LENGTH: 5, ID: 10, USERDATA: 13 } as const;
const TYPE_BITS = 6;
// User data for nft(8): the byte order of keys is the host's, so that it prints names as text.
const KEY_BYTE_ORDER = 0, HOST_ENDIAN = 1;

/** An element of a set. */
export interface Element {
  /** Its key. */
  readonly key: Uint8Array;
  /** The key as nft(8) prints it. */
  readonly text: string;
}

/** Creates a set unless it exists; its keys consist of `parts`. */
export function newSet({ family, table, set }: SetPlace, parts: readonly (keyof typeof PART)[]): Message {
  return message("NEWSET", NLM_F.CREATE, family, [
    [SET.TABLE, text(table)],
    [SET.NAME, text(set)],
    [SET.FLAGS, be32(0)],
    [SET.KEY_TYPE, be32(parts.reduce((number, part) => number << TYPE_BITS | PART[part].type, 0))],
    [SET.KEY_LENGTH, be32(parts.reduce((sum, part) => sum + PART[part].length, 0))],
    // Required by the kernel, though rules refer to the set by name.
    [SET.ID, be32(1)],
    [SET.USERDATA, Uint8Array.of(KEY_BYTE_ORDER, 4, ...u32(HOST_ENDIAN))],
  ], `add set ${family} ${table} ${set} { type ${parts.join(" . ")}; }`);
}

/** Adds elements to a set. */
export function addElements({ family, table, set }: SetPlace, elements: readonly Element[]): Message {
  return message("NEWSETELEM", NLM_F.CREATE, family, [
    [ELEMENTS.TABLE, text(table)],
    [ELEMENTS.SET, text(set)],
    [ELEMENTS.LIST, elements.map(({ key }) => elementAttribute(key))],
  ], `add element ${family} ${table} ${set} { ${elements.map(({ text }) => text).join(", ")} }`);
}
