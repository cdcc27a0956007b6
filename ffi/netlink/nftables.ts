/**
 * Queries of nf_tables (nft(8)): tables, chains, rules and set elements.
 *
 * @module
 */

import { ERRNO } from "../errno.ts";
import { ask, orNothing } from "./netlink.ts";
import {
  type Attribute,
  type Attributes,
  be16,
  decodeAttributes,
  type Message,
  NLM_F,
  readBe32,
  readText,
  type Received,
  text,
} from "./messages.ts";

/** The number of nf_tables within nfnetlink. */
export const NFNL_SUBSYS_NFTABLES = 10;

const MESSAGE = {
  NEWTABLE: 0,
  GETTABLE: 1,
  DELTABLE: 2,
  NEWCHAIN: 3,
  GETCHAIN: 4,
  NEWRULE: 6,
  GETRULE: 7,
  DELRULE: 8,
  NEWSET: 9,
  NEWSETELEM: 12,
  GETSETELEM: 13,
} as const;
/** Attributes of tables (`NFTA_TABLE_`). */
export const TABLE = { NAME: 1, FLAGS: 2, USERDATA: 6, OWNER_FLAG: 2 } as const;
/** Attributes of chains (`NFTA_CHAIN_`, `NFTA_HOOK_`). */
export const CHAIN = { TABLE: 1, NAME: 3, HOOK: 4, POLICY: 5, TYPE: 7, HOOK_NUMBER: 1, HOOK_PRIORITY: 2 } as const;
/** Attributes of rules (`NFTA_RULE_`). */
export const RULE = { TABLE: 1, CHAIN: 2, HANDLE: 3, EXPRESSIONS: 4, USERDATA: 7 } as const;
/** Attributes of element lists, of an element, and of its key (`NFTA_SET_ELEM_`). */
export const ELEMENTS = { TABLE: 1, SET: 2, LIST: 3, ELEMENT: 1, KEY: 1, VALUE: 1 } as const;
/** The type of comments within the user data of tables and rules. */
export const COMMENT = 0;
const HEADER = 4;

/** `NFPROTO_` numbers. */
const FAMILY = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 } as const;
/** The policies of chains by number. */
export const POLICY = ["drop", "accept"] as const;
/** The hooks of chains by number (`NF_INET_`). */
export const HOOKS = ["prerouting", "input", "forward", "output", "postrouting"] as const;
const HOOKS_OF_FAMILIES: Partial<Record<Family, readonly string[]>> = {
  arp: ["input", "output"],
  netdev: ["ingress", "egress"],
  inet: [...HOOKS, "ingress"],
};

/** The address family of a table. */
export type Family = keyof typeof FAMILY;

/** The policy of a chain. */
export type Policy = typeof POLICY[number];

/** The place of a chain. */
export interface ChainPlace {
  /** The family of its table. */
  readonly family: Family;
  /** The name of its table. */
  readonly table: string;
  /** Its name. */
  readonly chain: string;
}

/** A chain as the kernel reports it. */
export interface Chain extends ChainPlace {
  /** Its hook; undefined if it is only jumped to. */
  readonly base?: {
    /** The chain type, such as `filter`. */
    readonly type: string;
    /** The hook, such as `forward`. */
    readonly hook: string;
    /** The priority among the chains of the hook. */
    readonly priority: number;
    /** The policy. */
    readonly policy: Policy;
  };
}

/** The place of a set. */
export interface SetPlace {
  /** The family of its table. */
  readonly family: Family;
  /** The name of its table. */
  readonly table: string;
  /** Its name. */
  readonly set: string;
}

/** A rule as the kernel reports it. */
export interface Rule {
  /** Its handle in its table. */
  readonly handle: bigint;
  /** Its comment; empty without one. */
  readonly comment: string;
}

/** Encodes `struct nfgenmsg`. */
export function header(family: number, resource = 0): Uint8Array {
  return new Uint8Array([family, 0, ...be16(resource)]);
}

/** Returns a message of nf_tables for `family`. */
export function message(
  type: keyof typeof MESSAGE,
  flags: number,
  family: Family | undefined,
  attributes: readonly Attribute[],
  text: string,
): Message {
  return {
    type: NFNL_SUBSYS_NFTABLES << 8 | MESSAGE[type],
    flags,
    header: header(family === undefined ? 0 : FAMILY[family]),
    attributes,
    text,
  };
}

function readBe64(bytes: Uint8Array = new Uint8Array(8)): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getBigUint64(0);
}

function readComment(bytes: Uint8Array = new Uint8Array()): string {
  for (let at = 0; at + 2 <= bytes.length; at += 2 + (bytes[at + 1] ?? 0)) {
    if (bytes[at] === COMMENT) return readText(bytes.subarray(at + 2, at + 2 + (bytes[at + 1] ?? 0)));
  }
  return "";
}

function attributesOf({ payload }: Received): Attributes {
  return decodeAttributes(payload.subarray(HEADER));
}

/** Finds a table; undefined if it does not exist. */
export function findTable(fd: number, family: Family, name: string): { comment: string } | undefined {
  const question = message("GETTABLE", 0, family, [[TABLE.NAME, text(name)]], `list table ${family} ${name}`);
  return orNothing(
    ERRNO.ENOENT,
    () => ask(fd, question, (answer) => ({ comment: readComment(attributesOf(answer).get(TABLE.USERDATA)) })),
  )[0];
}

function readChain(answer: Received): Chain | undefined {
  const family = Object.keys(FAMILY).filter(isFamily).find((name) => FAMILY[name] === answer.payload[0]);
  if (!family) return undefined;
  const attributes = attributesOf(answer);
  const place = { family, table: readText(attributes.get(CHAIN.TABLE)), chain: readText(attributes.get(CHAIN.NAME)) };
  const bytes = attributes.get(CHAIN.HOOK);
  if (!bytes) return place;
  const hook = decodeAttributes(bytes);
  const number = readBe32(hook.get(CHAIN.HOOK_NUMBER));
  const base = {
    type: readText(attributes.get(CHAIN.TYPE)),
    hook: (HOOKS_OF_FAMILIES[family] ?? HOOKS)[number] ?? `${number}`,
    priority: readBe32(hook.get(CHAIN.HOOK_PRIORITY)) | 0,
    policy: POLICY[readBe32(attributes.get(CHAIN.POLICY))] ?? "accept",
  };
  return { ...place, base };
}

function isFamily(name: string): name is Family {
  return Object.hasOwn(FAMILY, name);
}

/** Lists all chains of all tables. */
export function listChains(fd: number): Chain[] {
  const question = message("GETCHAIN", NLM_F.DUMP, undefined, [], "list chains");
  return ask(fd, question, readChain).filter((chain) => chain !== undefined);
}

/** Lists the rules of a chain in order; none if the chain does not exist. */
export function listRules(fd: number, { family, table, chain }: ChainPlace): Rule[] {
  const place: readonly Attribute[] = [[RULE.TABLE, text(table)], [RULE.CHAIN, text(chain)]];
  const question = message("GETRULE", NLM_F.DUMP, family, place, `list chain ${family} ${table} ${chain}`);
  return ask(fd, question, (answer) => {
    const attributes = attributesOf(answer);
    return { handle: readBe64(attributes.get(RULE.HANDLE)), comment: readComment(attributes.get(RULE.USERDATA)) };
  });
}

const IFNAMSIZ = 16;

/** Encodes an interface name as rules compare it. Throws `RangeError` if it is too long. */
export function interfaceName(name: string): Uint8Array {
  const bytes = new Uint8Array(IFNAMSIZ);
  bytes.set(text(name));
  return bytes;
}

/** Encodes the key of an element from its parts, each padded to registers of four bytes. */
export function elementKey(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + (length + 3 & ~3), 0));
  let at = 0;
  for (const part of parts) bytes.set(part, at), at += part.length + 3 & ~3;
  return bytes;
}

/** Returns the list attribute of an element with that key. */
export function elementAttribute(key: Uint8Array): Attribute {
  return [ELEMENTS.ELEMENT, [[ELEMENTS.KEY, [[ELEMENTS.VALUE, key]]]]];
}

/** Returns whether a set contains an element with that key; false if the set does not exist. */
export function hasElement(fd: number, { family, table, set }: SetPlace, key: Uint8Array): boolean {
  const question = message("GETSETELEM", 0, family, [
    [ELEMENTS.TABLE, text(table)],
    [ELEMENTS.SET, text(set)],
    [ELEMENTS.LIST, [elementAttribute(key)]],
  ], `get an element of ${family} ${table} ${set}`);
  return orNothing(ERRNO.ENOENT, () => ask(fd, question, () => true)).length > 0;
}
