/**
 * Changes of named sets of the kernel's packet filter, nf_tables, as data.
 *
 * @module
 */

import { be32, type Message, NLM_F, text, u32 } from "./messages.ts";
import { elementAttribute, ELEMENTS, message, type SetPlace } from "./nftables.ts";

/** What elements of sets are made of: its number in `nft(8)`, and how many bytes of registers it fills. */
const PART = {
  ifname: { type: 41, length: 16 },
  ether_addr: { type: 9, length: 8 },
  ipv4_addr: { type: 7, length: 4 },
  ipv6_addr: { type: 8, length: 16 },
} as const;

const SET = { TABLE: 1, NAME: 2, FLAGS: 3, KEY_TYPE: 4, KEY_LENGTH: 5, ID: 10, USERDATA: 13 } as const;
const TYPE_BITS = 6;
// It tells nft(8) that names are texts: 1 is the machine's own order of bytes.
const KEY_ORDER = 0, MACHINE_ORDER = 1;

/** An element of a set. */
export interface Element {
  /** Its key. */
  readonly key: Uint8Array;
  /** The same, as `nft(8)` writes it. */
  readonly text: string;
}

/** Makes a set, unless it is there. Its elements are made of `parts`. */
export function newSet({ family, table, set }: SetPlace, parts: readonly (keyof typeof PART)[]): Message {
  return message("NEWSET", NLM_F.CREATE, family, [
    [SET.TABLE, text(table)],
    [SET.NAME, text(set)],
    [SET.FLAGS, be32(0)],
    [SET.KEY_TYPE, be32(parts.reduce((number, part) => number << TYPE_BITS | PART[part].type, 0))],
    [SET.KEY_LENGTH, be32(parts.reduce((sum, part) => sum + PART[part].length, 0))],
    // Rules name the set; the kernel wants a number all the same.
    [SET.ID, be32(1)],
    [SET.USERDATA, Uint8Array.of(KEY_ORDER, 4, ...u32(MACHINE_ORDER))],
  ], `add set ${family} ${table} ${set} { type ${parts.join(" . ")}; }`);
}

/** Puts elements into a set; those that are in it stay. */
export function addElements({ family, table, set }: SetPlace, elements: readonly Element[]): Message {
  return message("NEWSETELEM", NLM_F.CREATE, family, [
    [ELEMENTS.TABLE, text(table)],
    [ELEMENTS.SET, text(set)],
    [ELEMENTS.LIST, elements.map(({ key }) => elementAttribute(key))],
  ], `add element ${family} ${table} ${set} { ${elements.map(({ text }) => text).join(", ")} }`);
}
