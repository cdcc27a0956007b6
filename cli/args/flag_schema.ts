/**
 * Flags as data, and reading them.
 *
 * @module
 */

import type { FlagTable } from "./normalize.ts";

/** One flag: how it is read and what it is for. */
export interface Flag<T> {
  /** What it is for. */
  readonly brief: string;
  /** What stands for its value. Default: it has none. */
  readonly placeholder?: string;
  /** Its value, given the text and the value that it had before. */
  read(text: string, before?: T): T;
}

/** The flags of a command, by what their values are called in code. */
export type Flags<Values> = { readonly [K in keyof Values]-?: Flag<Exclude<Values[K], undefined>> };

/** What can be wrong with the words of a command. */
export type UsageProblem =
  | { readonly kind: "unknown-flag"; readonly flag: string; readonly known: readonly string[] }
  | { readonly kind: "no-value"; readonly flag: string; readonly brief: string; readonly placeholder: string }
  | { readonly kind: "bad-flag"; readonly flag: string; readonly brief: string; readonly value: string }
  | { readonly kind: "bad-word"; readonly value: string }
  | { readonly kind: "missing"; readonly names: readonly string[] }
  | { readonly kind: "too-many"; readonly value: string }
  | { readonly kind: "unknown-command"; readonly name: string; readonly known: readonly string[] };

/** The words of `command` are wrong. `wrong.ts` says how, which most commands need not load. */
export class UsageError extends Error {
  /** Makes an error of a fact. */
  constructor(readonly command: string, readonly wrong: UsageProblem, cause?: unknown) {
    super(`${command}: ${wrong.kind}`, { cause });
  }
}

/** A flag whose value `read` reads. */
export function one<T>(placeholder: string, brief: string, read: (text: string) => T): Flag<T> {
  return { brief, placeholder, read };
}

function asIs(text: string): string {
  return text;
}

function added(text: string, before: readonly string[] = []): readonly string[] {
  return [...before, text];
}

function truth(text: string): boolean {
  if (text === "true" || text === "false") return text === "true";
  throw new Error(`${JSON.stringify(text)} is not true or false`);
}

/** A flag whose value is a word. */
export function word(placeholder: string, brief: string): Flag<string> {
  return { brief, placeholder, read: asIs };
}

/** A flag that can be repeated. */
export function many(placeholder: string, brief: string): Flag<readonly string[]> {
  return { brief: `${brief}; can be repeated`, placeholder, read: added };
}

/** A flag without a value. */
export function yes(brief: string): Flag<boolean> {
  return { brief, placeholder: undefined, read: truth };
}

/** Reads a number. */
export function number(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new Error(`${JSON.stringify(text)} is not a number`);
  return value;
}

/** A flag's name as it is typed: `cpuShares` is `cpu-shares`. */
export function kebab(name: string): string {
  return [...name].map((letter) => letter.toLowerCase() === letter ? letter : `-${letter.toLowerCase()}`).join("");
}

function camel(typed: string): string {
  const [first = "", ...others] = typed.toLowerCase() === typed ? typed.split("-") : [];
  return first + others.map((part) => part.slice(0, 1).toUpperCase() + part.slice(1)).join("");
}

/** What `arrange` must know of flags and their short forms. */
export function tableOf<Values>(flags: Flags<Values>, short: Readonly<Record<string, string>>): FlagTable {
  return {
    takesValue(typed) {
      const name = camel(typed);
      return isNameOf(flags, name) ? flags[name].placeholder !== undefined : undefined;
    },
    long(letter) {
      const name = Object.hasOwn(short, letter) ? short[letter] : undefined;
      return name === undefined ? undefined : kebab(name);
    },
  };
}

function isNameOf<T extends object>(flags: T, name: string): name is keyof T & string {
  return Object.hasOwn(flags, name);
}

/** What was read of the flags of a command. */
export type Read<Values> = { -readonly [K in keyof Values]?: Exclude<Values[K], undefined> };

function set<Values, K extends keyof Values & string>(
  command: string,
  flags: Flags<Values>,
  values: Read<Values>,
  name: K,
  value: string,
): void {
  const flag = flags[name];
  try {
    values[name] = flag.read(value, values[name]);
  } catch (error) {
    throw new UsageError(command, { kind: "bad-flag", flag: `--${kebab(name)}`, brief: flag.brief, value }, error);
  }
}

/**
 * Reads arranged words: `--name=value` or `--name`, then `--`, then the words that are returned as `rest`.
 *
 * @throws {UsageError}
 */
export function readFlags<Values>(
  command: string,
  flags: Flags<Values>,
  words: readonly string[],
): { values: Read<Values>; rest: readonly string[] } {
  const values: Read<Values> = {};
  const end = words.indexOf("--");
  for (const word of end < 0 ? words : words.slice(0, end)) {
    const equals = word.indexOf("="), flag = equals < 0 ? word : word.slice(0, equals);
    const value = equals < 0 ? undefined : word.slice(equals + 1);
    const name = camel(flag.slice(2));
    if (!isNameOf(flags, name) || !flag.startsWith("--")) {
      throw new UsageError(command, { kind: "unknown-flag", flag, known: Object.keys(flags) });
    }
    const { placeholder, brief } = flags[name];
    if (value === undefined && placeholder !== undefined) {
      throw new UsageError(command, { kind: "no-value", flag, brief, placeholder });
    }
    set(command, flags, values, name, value ?? "true");
  }
  return { values, rest: end < 0 ? [] : words.slice(end + 1) };
}
