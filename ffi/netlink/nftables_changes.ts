/**
 * Changes of nf_tables as data: tables, chains and rules. The texts of the messages are the equivalent commands of nft(8).
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
  NFNL_SUBSYS_NFTABLES,
  POLICY,
  type Policy,
  RULE,
  TABLE,
} from "./nftables.ts";
import type { RulePart } from "./nftables_expressions.ts";

const NFNL_MSG_BATCH_BEGIN = 0x10, NFNL_MSG_BATCH_END = 0x11;
const MAX_COMMENT = 254;

/** The hook of a base chain. */
export interface Hook {
  /** The chain type. */
  readonly type: "filter" | "nat";
  /** The hook. */
  readonly hook: typeof HOOKS[number];
  /** The priority among the chains of the hook; the smallest is first. */
  readonly priority: number;
  /** The policy. Default: `accept`. */
  readonly policy?: Policy;
}

/** A table to be created. */
export interface NewTable {
  /** Its address family. */
  readonly family: Family;
  /** Its name. */
  readonly name: string;
  /** Whether the socket owns it: the kernel removes it with the socket, and no other process can change it. */
  readonly owner?: boolean;
  /** The comment, at most 254 bytes. */
  readonly comment?: string;
}

/** A rule to be created. */
export interface NewRule extends ChainPlace {
  /** Its matches, followed by its statements. */
  readonly parts: readonly RulePart[];
  /** The comment, at most 254 bytes. */
  readonly comment?: string;
}

function be64(value: bigint): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value);
  return bytes;
}

/** Encodes a comment as nft(8) does: type, length and text. Throws `RangeError` if it is too long. */
function commentBytes(comment: string): Uint8Array {
  const bytes = text(comment);
  if (bytes.length > MAX_COMMENT + 1) {
    throw new RangeError(
      `cannot encode an nf_tables comment of ${bytes.length - 1} bytes: the limit is ${MAX_COMMENT}`,
    );
  }
  return new Uint8Array([COMMENT, bytes.length, ...bytes]);
}

/**
 * Wraps changes in a transaction, which the kernel applies as a whole or not at all. The last change requests the
 * acknowledgement, which follows all errors.
 */
export function batch(messages: readonly Message[]): Message[] {
  const around = { flags: 0, header: header(0, NFNL_SUBSYS_NFTABLES) };
  return [
    { ...around, type: NFNL_MSG_BATCH_BEGIN, text: `apply ${messages.length} changes of nf_tables` },
    ...messages.map((message, i) =>
      i < messages.length - 1 ? message : { ...message, flags: message.flags | NLM_F.ACK }
    ),
    { ...around, type: NFNL_MSG_BATCH_END, text: "end of changes" },
  ];
}

/** Creates a table unless it exists. Throws `RangeError` if the comment is too long. */
export function newTable({ family, name, owner = false, comment }: NewTable): Message {
  const details = [...(owner ? ["flags owner;"] : []), ...(comment === undefined ? [] : [`comment "${comment}";`])];
  return message("NEWTABLE", NLM_F.CREATE, family, [
    [TABLE.NAME, text(name)],
    [TABLE.FLAGS, be32(owner ? TABLE.OWNER_FLAG : 0)],
    ...(comment === undefined ? [] : [[TABLE.USERDATA, commentBytes(comment)] as const]),
  ], ["add table", family, name, ...(details.length ? ["{", ...details, "}"] : [])].join(" "));
}

/** Removes a table with its content. */
export function deleteTable(family: Family, name: string): Message {
  return message("DELTABLE", 0, family, [[TABLE.NAME, text(name)]], `delete table ${family} ${name}`);
}

/** Creates a chain unless it exists; without `hook` it can only be jumped to. */
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

/** Appends a rule to its chain. Throws `RangeError` if the comment is too long. */
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
