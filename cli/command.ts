/**
 * Commands as data: finding one by its name, what it takes, and calling it with what is typed behind its name.
 *
 * @module
 */

import type { BaseFlags, Command, RouteMap } from "npm:@stricli/core@1.3.0";
import { root } from "./app.ts";
import { arrange } from "./argv.ts";
import type { Context } from "./context.ts";
import { type Flag, type Flags, readFlags, tableOf, WrongWords, yes } from "./flag.ts";

/** A command, or a name with commands below it. */
export type Target = Command<Context> | RouteMap<Context>;

/** What words name. */
export interface Found {
  /** The words that are the command's name; none for Sauropod itself. */
  readonly path: readonly string[];
  /** The command. */
  readonly target: Target;
  /** The words behind its name. */
  readonly rest: readonly string[];
}

/** Whether there are commands below it. */
export function isGroup(target: Target): target is RouteMap<Context> {
  return "getAllEntries" in target;
}

/** The commands below a name. */
export function below(group: RouteMap<Context>): { name: string; target: Target }[] {
  return group.getAllEntries().map(({ name, target }) => ({ name: name.original, target }));
}

/** The command that `words` begin with the name of. */
export function find(words: readonly string[]): Found {
  let target: Target = root, depth = 0;
  for (; isGroup(target); depth++) {
    const next: { target: Target } | undefined = below(target).find(({ name }) => name === words[depth]);
    if (!next) break;
    target = next.target;
  }
  return { path: words.slice(0, depth), target, rest: words.slice(depth) };
}

type Parameter = NonNullable<Command<Context>["parameters"]["flags"]>[string];

function flagOf(parameter: Parameter, context: Context): Flag<unknown> {
  // What flags of run have instead of nothing.
  if (parameter.kind !== "parsed" || parameter.placeholder === "") return yes(parameter.brief);
  const { brief, placeholder = "VALUE", parse, variadic } = parameter;
  const read = (text: string, before: unknown): unknown => {
    const value = parse.call(context, text);
    return variadic ? [...Array.isArray(before) ? before : [], value] : value;
  };
  return { brief, placeholder, read };
}

/** The flags of a command. */
export function flagsOf({ parameters }: Command<Context>, context: Context): Flags<BaseFlags> {
  const entries = Object.entries(parameters.flags ?? {});
  return Object.fromEntries(entries.map(([name, parameter]) => [name, flagOf(parameter, context)]));
}

/** The words that a command takes beside flags. */
export interface Takes {
  /** What stands for each, and what it is. */
  readonly words: readonly { readonly name: string; readonly brief: string }[];
  /** How many there must be. */
  readonly needed: number;
  /** Whether the last can be repeated. */
  readonly many: boolean;
}

/** The words that a command takes. Of an array the placeholder has a word, and the brief a line, for each. */
export function takes({ parameters: { positional } }: Command<Context>): Takes {
  if (positional === undefined) return { words: [], needed: 0, many: false };
  if (positional.kind === "tuple") {
    const words = positional.parameters.map(({ placeholder = "", brief }) => ({ name: placeholder, brief }));
    return { words, needed: positional.parameters.filter(({ optional }) => !optional).length, many: false };
  }
  const { parameter: { placeholder = "", brief }, minimum = 0 } = positional, briefs = brief.split("\n");
  const words = placeholder.split(" ").map((name, i) => ({ name, brief: briefs[i] ?? "" }));
  return { words, needed: minimum, many: true };
}

/** How a command is written. */
export function usage({ path, target }: Found): string {
  const start = ["sauropod", ...path].join(" ");
  if (path.length === 0) return `${start} [OPTIONS] IMAGE [COMMAND…]`;
  if (isGroup(target)) return `${start} ${target.getDefaultCommand() ? "[COMMAND]" : "COMMAND"}`;
  const { words, needed, many } = takes(target);
  const shown = words.map(({ name }, i) => {
    const text = many && i === words.length - 1 ? `${name}…` : name;
    return i < needed ? text : `[${text}]`;
  });
  const options = Object.keys(target.parameters.flags ?? {}).length > 0 ? ["[OPTIONS]"] : [];
  return [start, ...options, ...shown].join(" ");
}

function readWord(name: string, command: Command<Context>, i: number, value: string, context: Context): unknown {
  const { positional } = command.parameters;
  const parameter = positional?.kind === "tuple" ? positional.parameters[i] : positional?.parameter;
  if (!parameter) throw new WrongWords(name, { kind: "too-many", value });
  try {
    return parameter.parse.call(context, value);
  } catch (error) {
    throw new WrongWords(name, { kind: "bad-word", value }, error);
  }
}

/**
 * Calls a command with what is typed behind its name, unless that asks for help.
 *
 * @throws {WrongWords}
 */
export async function call({ path, target, rest }: Found, context: Context): Promise<"called" | "help"> {
  const name = path.join(" "), [first] = rest;
  if (isGroup(target) && first !== undefined && !first.startsWith("-")) {
    const known = below(target).map(({ name }) => name);
    throw new WrongWords(name, { kind: "unknown-command", name: first, known });
  }
  const command = isGroup(target) ? target.getDefaultCommand() : target;
  const flags = command ? flagsOf(command, context) : {};
  const arranged = arrange(rest, tableOf(flags, command?.parameters.aliases ?? {}), true);
  if (arranged[0] === "--help") return "help";
  const { values, rest: words } = readFlags(name, flags, arranged);
  if (!command) return "help";
  const args = words.map((word, i) => readWord(name, command, i, word, context));
  const { words: wanted, needed } = takes(command);
  if (words.length < needed) {
    throw new WrongWords(name, { kind: "missing", names: wanted.slice(words.length, needed).map(({ name }) => name) });
  }
  const loaded = await command.loader();
  const result = await (typeof loaded === "function" ? loaded : loaded.default).call(context, values, ...args);
  if (result instanceof Error) throw result;
  return "called";
}
