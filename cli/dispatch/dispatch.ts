/**
 * Finding the command that is typed, and calling it.
 *
 * @module
 */

import { root } from "../definitions/app.ts";
import { normalizeArgs } from "../args/normalize.ts";
import { isGroup, showWord, type Target } from "../args/command.ts";
import { readFlags, tableOf, UsageError } from "../args/flag_schema.ts";

/** What words name. */
export interface Found {
  /** The words that are the command's name; none for Sauropod itself. */
  readonly path: readonly string[];
  /** The command. */
  readonly target: Target;
  /** The words behind its name. */
  readonly rest: readonly string[];
}

/** Finds the command that `words` begin with the name of. */
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
 * Calls a command with what is typed behind its name. Returns its exit status; undefined if its help is asked for.
 *
 * @throws {UsageError}
 */
export async function call({ path, target, rest }: Found): Promise<number | undefined> {
  const name = path.join(" "), [first] = rest;
  if (isGroup(target) && first !== undefined && !first.startsWith("-")) {
    throw new UsageError(name, { kind: "unknown-command", name: first, known: Object.keys(target.commands) });
  }
  const command = isGroup(target) ? target.fallback : target;
  const arranged = normalizeArgs(rest, tableOf(command?.flags ?? {}, command?.short ?? {}), true);
  if (arranged[0] === "--help") return undefined;
  if (!command) readFlags(name, {}, arranged);
  return await command?.call?.(name, arranged);
}
