/**
 * Command lookup and invocation.
 *
 * @module
 */

import { root } from "../definitions/app.ts";
import { normalizeArgs } from "../args/normalize.ts";
import { isGroup, showWord, type Target } from "../args/command.ts";
import { readFlags, tableOf, UsageError } from "../args/flag_schema.ts";

/** A command found by its name. */
export interface Found {
  /** The command's name, in words; empty for Sauropod itself. */
  readonly path: readonly string[];
  /** The command or group. */
  readonly target: Target;
  /** The arguments after its name. */
  readonly rest: readonly string[];
}

/** Finds the command whose name `words` start with. */
export function find(words: readonly string[]): Found {
  let target: Target = root, depth = 0;
  for (; isGroup(target); depth++) {
    const word = words[depth] ?? "";
    const next: Target | undefined = Object.hasOwn(target.commands, word) ? target.commands[word] : undefined;
    if (!next) break;
    target = next;
  }
  return { path: words.slice(0, depth), target, rest: words.slice(depth) };
}

/** Returns the usage line of a command. */
export function usage({ path, target }: Found): string {
  const start = ["sauropod", ...path].join(" ");
  if (path.length === 0) return `${start} [OPTIONS] IMAGE [COMMAND…]`;
  if (isGroup(target)) return `${start} ${target.fallback ? "[COMMAND]" : "COMMAND"}`;
  const options = Object.keys(target.flags).length > 0 ? ["[OPTIONS]"] : [];
  return [start, ...options, ...target.words.map(showWord)].join(" ");
}

/**
 * Runs a command with its arguments. Returns its exit status; undefined if help is requested.
 *
 * @throws {UsageError}
 */
export async function call({ path, target, rest }: Found): Promise<number | undefined> {
  const name = path.join(" "), [first] = rest;
  if (isGroup(target) && first !== undefined && !first.startsWith("-")) {
    throw new UsageError(name, { kind: "unknown-command", name: first, known: Object.keys(target.commands) });
  }
  const command = isGroup(target) ? target.fallback : target;
  const args = normalizeArgs(rest, tableOf(command?.flags ?? {}, command?.short ?? {}), true);
  if (args[0] === "--help") return undefined;
  if (!command) readFlags(name, {}, args);
  return await command?.call?.(name, args);
}
