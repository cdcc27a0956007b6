/**
 * Changes of the kernel's packet filter, nf_tables: tables, chains and rules as data.
 *
 * The texts of the messages are what `nft(8)` would be told to do the same.
 *
 * @module
 */

import { type Attribute, be32, type Message, NLM_F, text } from "./messages.ts";
import {
  CHAIN,
  type ChainPlace,
  COMMENT,
  type Family,
  header,
  HOOKS,
  message,
  POLICY,
  type Policy,
  RULE,
  SUBSYSTEM,
  TABLE,
} from "./nftables.ts";
import type { RulePart } from "./nftables_expressions.ts";

const BATCH_BEGIN = 0x10, BATCH_END = 0x11;
const LONGEST_COMMENT = 254;

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

/** A rule to be made. */
export interface NewRule extends ChainPlace {
  /** Its matches, and its statements behind them. */
  readonly parts: readonly RulePart[];
  /** What people are told; at most 254 bytes. */
  readonly comment?: string;
}

function be64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}

/** A comment as `nft(8)` writes it: what it is, its length, and the text. */
function commentBytes(comment: string): Uint8Array {
  const bytes = text(comment);
  if (bytes.length > LONGEST_COMMENT + 1) throw new RangeError(`a comment of ${bytes.length - 1} bytes`);
  return new Uint8Array([COMMENT, bytes.length, ...bytes]);
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

/** Makes a rule, behind those that its chain has. Throws `RangeError` if the comment is too long. */
export function newRule({ family, table, chain, parts, comment }: NewRule): Message {
  const words = [
    `add rule ${family} ${table} ${chain}`,
    ...parts.map(({ text }) => text),
    ...(comment === undefined ? [] : [`comment "${comment}"`]),
  ];
  return message("NEWRULE", NLM_F.CREATE | NLM_F.APPEND, family, [
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
