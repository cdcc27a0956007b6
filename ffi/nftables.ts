/**
 * The kernel's packet filter, nf_tables: tables, chains and rules as data, and what the kernel tells of them.
 *
 * The texts of the messages are what `nft(8)` would be told to do the same.
 *
 * @module
 */

import {
  ask,
  type Attribute,
  type Attributes,
  be16,
  be32,
  decodeAttributes,
  type Message,
  NetlinkError,
  NLM_F,
  readBe32,
  readText,
  type Received,
  text,
} from "./netlink.ts";
import type { RulePart } from "./nftables_expressions.ts";

const SUBSYSTEM = 10, BATCH_BEGIN = 0x10, BATCH_END = 0x11;
const MESSAGE = {
  NEWTABLE: 0,
  GETTABLE: 1,
  DELTABLE: 2,
  NEWCHAIN: 3,
  GETCHAIN: 4,
  NEWRULE: 6,
  GETRULE: 7,
  DELRULE: 8,
} as const;
const TABLE = { NAME: 1, FLAGS: 2, USERDATA: 6, OWNER_FLAG: 2 } as const;
const CHAIN = { TABLE: 1, NAME: 3, HOOK: 4, POLICY: 5, TYPE: 7, HOOK_NUMBER: 1, HOOK_PRIORITY: 2 } as const;
const RULE = { TABLE: 1, CHAIN: 2, HANDLE: 3, EXPRESSIONS: 4, USERDATA: 7 } as const;
const COMMENT = 0, LONGEST_COMMENT = 254;
const HEADER = 4;
const ENOENT = 2;

const FAMILY = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 } as const;
const POLICY = ["drop", "accept"] as const;
const HOOKS = ["prerouting", "input", "forward", "output", "postrouting"] as const;
const HOOKS_OF_FAMILIES: Partial<Record<Family, readonly string[]>> = {
  arp: ["input", "output"],
  netdev: ["ingress", "egress"],
  inet: [...HOOKS, "ingress"],
};

/** What packets a table is about. */
export type Family = keyof typeof FAMILY;

/** What a chain does by itself. */
export type Policy = typeof POLICY[number];

/** Where a chain of rules is run. */
export interface Hook {
  /** What it is for. */
  readonly type: "filter" | "nat";
  /** Where on a packet's way. */
  readonly hook: typeof HOOKS[number];
  /** When, among the chains of the same hook; the smallest is first. */
  readonly priority: number;
  /** What happens to packets at its end. Default: `accept`. */
  readonly policy?: Policy;
}

/** A table to be made. */
export interface NewTable {
  /** What packets it is about. */
  readonly family: Family;
  /** Its name. */
  readonly name: string;
  /** Whether the socket owns it: the kernel removes it with the socket, and nobody else can change it. */
  readonly owner?: boolean;
  /** What people are told; at most 254 bytes. */
  readonly comment?: string;
}

/** Where a chain is. */
export interface ChainPlace {
  /** Its table's family. */
  readonly family: Family;
  /** Its table's name. */
  readonly table: string;
  /** Its name. */
  readonly chain: string;
}

/** A rule to be made. */
export interface NewRule extends ChainPlace {
  /** Its matches, and its statements behind them. */
  readonly parts: readonly RulePart[];
  /** What people are told; at most 254 bytes. */
  readonly comment?: string;
  /** Whether it comes before the chain's rules, and not behind them. */
  readonly first?: boolean;
}

/** A chain as the kernel tells of it. */
export interface Chain extends ChainPlace {
  /** Where it is run; undefined if only other chains lead to it. */
  readonly base?: {
    /** What it is for, such as `filter`. */
    readonly type: string;
    /** Where on a packet's way, such as `forward`. */
    readonly hook: string;
    /** When, among the chains of the same hook. */
    readonly priority: number;
    /** What happens to packets at its end. */
    readonly policy: Policy;
  };
}

/** A rule as the kernel tells of it. */
export interface Rule {
  /** Its number in its table. */
  readonly handle: bigint;
  /** Its comment; empty if it has none. */
  readonly comment: string;
}

/** `struct nfgenmsg`. */
function header(family: number, resource = 0): Uint8Array {
  return new Uint8Array([family, 0, ...be16(resource)]);
}

function message(
  type: keyof typeof MESSAGE,
  flags: number,
  family: Family | undefined,
  attributes: readonly Attribute[],
  text: string,
): Message {
  return {
    type: SUBSYSTEM << 8 | MESSAGE[type],
    flags,
    header: header(family === undefined ? 0 : FAMILY[family]),
    attributes,
    text,
  };
}

function be64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}

function readBe64(bytes: Uint8Array = new Uint8Array(8)): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getBigUint64(0);
}

/** A comment as `nft(8)` writes it: what it is, its length, and the text. */
function commentBytes(comment: string): Uint8Array {
  const bytes = text(comment);
  if (bytes.length > LONGEST_COMMENT + 1) throw new RangeError(`a comment of ${bytes.length - 1} bytes`);
  return new Uint8Array([COMMENT, bytes.length, ...bytes]);
}

function readComment(bytes: Uint8Array = new Uint8Array()): string {
  for (let at = 0; at + 2 <= bytes.length; at += 2 + (bytes[at + 1] ?? 0)) {
    if (bytes[at] === COMMENT) return readText(bytes.subarray(at + 2, at + 2 + (bytes[at + 1] ?? 0)));
  }
  return "";
}

/**
 * Changes that the kernel makes all at once, or not at all.
 *
 * The last one asks for the acknowledgement: the kernel sends it when all are done, behind what it refuses.
 */
export function batch(messages: readonly Message[]): Message[] {
  const around = { flags: 0, header: header(0, SUBSYSTEM) };
  return [
    { ...around, type: BATCH_BEGIN, text: `change ${messages.length} things of nf_tables` },
    ...messages.map((message, i) =>
      i < messages.length - 1 ? message : { ...message, flags: message.flags | NLM_F.ACK }
    ),
    { ...around, type: BATCH_END, text: "the end of the changes" },
  ];
}

/** Makes a table, unless it is there. Throws `RangeError` if the comment is too long. */
export function newTable({ family, name, owner = false, comment }: NewTable): Message {
  const details = [...(owner ? ["flags owner;"] : []), ...(comment === undefined ? [] : [`comment "${comment}";`])];
  return message("NEWTABLE", NLM_F.CREATE, family, [
    [TABLE.NAME, text(name)],
    [TABLE.FLAGS, be32(owner ? TABLE.OWNER_FLAG : 0)],
    ...(comment === undefined ? [] : [[TABLE.USERDATA, commentBytes(comment)] as const]),
  ], ["add table", family, name, ...(details.length ? ["{", ...details, "}"] : [])].join(" "));
}

/** Removes a table and all that is in it. */
export function deleteTable(family: Family, name: string): Message {
  return message("DELTABLE", 0, family, [[TABLE.NAME, text(name)]], `delete table ${family} ${name}`);
}

/** Makes a chain, unless it is there. Without `hook`, only other chains can lead to it. */
export function newChain({ family, table, chain, hook }: ChainPlace & { readonly hook?: Hook }): Message {
  const name = `add chain ${family} ${table} ${chain}`;
  const place: readonly Attribute[] = [[CHAIN.TABLE, text(table)], [CHAIN.NAME, text(chain)]];
  if (!hook) return message("NEWCHAIN", NLM_F.CREATE, family, place, name);
  const { type, hook: where, priority, policy = "accept" } = hook;
  return message(
    "NEWCHAIN",
    NLM_F.CREATE,
    family,
    [
      ...place,
      [CHAIN.HOOK, [
        [CHAIN.HOOK_NUMBER, be32(HOOKS.indexOf(where))],
        [CHAIN.HOOK_PRIORITY, be32(priority)],
      ]],
      [CHAIN.TYPE, text(type)],
      [CHAIN.POLICY, be32(POLICY.indexOf(policy))],
    ],
    `${name} { type ${type} hook ${where} priority ${priority}; policy ${policy}; }`,
  );
}

/** Makes a rule. Throws `RangeError` if the comment is too long. */
export function newRule({ family, table, chain, parts, comment, first = false }: NewRule): Message {
  const words = [
    `${first ? "insert" : "add"} rule ${family} ${table} ${chain}`,
    ...parts.map(({ text }) => text),
    ...(comment === undefined ? [] : [`comment "${comment}"`]),
  ];
  return message("NEWRULE", NLM_F.CREATE | (first ? 0 : NLM_F.APPEND), family, [
    [RULE.TABLE, text(table)],
    [RULE.CHAIN, text(chain)],
    [RULE.EXPRESSIONS, parts.flatMap(({ expressions }) => expressions)],
    ...(comment === undefined ? [] : [[RULE.USERDATA, commentBytes(comment)] as const]),
  ], words.join(" "));
}

/** Removes a rule. */
export function deleteRule({ family, table, chain, handle }: ChainPlace & { readonly handle: bigint }): Message {
  return message("DELRULE", 0, family, [
    [RULE.TABLE, text(table)],
    [RULE.CHAIN, text(chain)],
    [RULE.HANDLE, be64(handle)],
  ], `delete rule ${family} ${table} ${chain} handle ${handle}`);
}

function attributesOf({ payload }: Received): Attributes {
  return decodeAttributes(payload.subarray(HEADER));
}

/** The table with that name; undefined if there is none. */
export function findTable(fd: number, family: Family, name: string): { comment: string } | undefined {
  const question = message("GETTABLE", 0, family, [[TABLE.NAME, text(name)]], `list table ${family} ${name}`);
  try {
    return ask(fd, question, (answer) => ({ comment: readComment(attributesOf(answer).get(TABLE.USERDATA)) }))[0];
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === ENOENT) return undefined;
    throw error;
  }
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

/** All chains of all tables. */
export function listChains(fd: number): Chain[] {
  const question = message("GETCHAIN", NLM_F.DUMP, undefined, [], "list chains");
  return ask(fd, question, readChain).filter((chain) => chain !== undefined);
}

/** The rules of a chain, in order; none if there is no such chain. */
export function listRules(fd: number, { family, table, chain }: ChainPlace): Rule[] {
  const place: readonly Attribute[] = [[RULE.TABLE, text(table)], [RULE.CHAIN, text(chain)]];
  const question = message("GETRULE", NLM_F.DUMP, family, place, `list chain ${family} ${table} ${chain}`);
  return ask(fd, question, (answer) => {
    const attributes = attributesOf(answer);
    return { handle: readBe64(attributes.get(RULE.HANDLE)), comment: readComment(attributes.get(RULE.USERDATA)) };
  });
}
