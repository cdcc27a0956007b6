/**
 * Flags as data, and their parser.
 *
 * @module
 */

import type { FlagTable } from "./normalize.ts";

/** A flag: its help and its parser. */
export interface Flag<T> {
  /** Help text. */
  readonly brief: string;
  /** Name of its value in help. Default: it takes none. */
  readonly placeholder?: string;
  /** Parses a value, given the one before. */
  read(text: string, before?: T): T;
}

/** The flags of a command, by the camel-case names of their values. */
export type Flags<Values> = { readonly [K in keyof Values]-?: Flag<Exclude<Values[K], undefined>> };

/** The values of a table of flags. */
export type ValuesOf<Table> = { readonly [K in keyof Table]: Table[K] extends Flag<infer T> ? T : never };

/** A problem with the arguments of a command. */
export type UsageProblem =
  | { readonly kind: "unknown-flag"; readonly flag: string; readonly known: readonly string[] }
  | { readonly kind: "no-value"; readonly flag: string; readonly brief: string; readonly placeholder: string }
  | { readonly kind: "bad-flag"; readonly flag: string; readonly brief: string; readonly value: string }
  | { readonly kind: "bad-word"; readonly value: string }
  | { readonly kind: "missing"; readonly names: readonly string[] }
  | { readonly kind: "too-many"; readonly value: string }
  | { readonly kind: "unknown-command"; readonly name: string; readonly known: readonly string[] };

/** Invalid arguments of `command`. `usage_error.ts` formats it, which most commands need not load. */
export class UsageError extends Error {
  /** Creates an error. */
  constructor(readonly command: string, readonly wrong: UsageProblem, cause?: unknown) {
    super(`${command}: ${wrong.kind}`, { cause });
  }
}

/** Returns a flag whose value `read` parses. */
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
  throw new Error("expected true or false");
}

/** Returns a flag that takes a word. */
export function word(placeholder: string, brief: string): Flag<string> {
  return { brief, placeholder, read: asIs };
}

/** Returns a flag that can be repeated. */
export function many(placeholder: string, brief: string): Flag<readonly string[]> {
  return { brief: `${brief}; can be repeated`, placeholder, read: added };
}

/** Returns a flag without a value. */
export function yes(brief: string): Flag<boolean> {
  return { brief, placeholder: undefined, read: truth };
}

/** Parses a number. */
export function number(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new Error("expected a number");
  return value;
}

/** Returns a flag's name as it is typed: `cpuShares` is `cpu-shares`. */
export function kebab(name: string): string {
  return [...name].map((letter) => letter.toLowerCase() === letter ? letter : `-${letter.toLowerCase()}`).join("");
}

function camel(typed: string): string {
  const [first = "", ...others] = typed.toLowerCase() === typed ? typed.split("-") : [];
  return first + others.map((part) => part.slice(0, 1).toUpperCase() + part.slice(1)).join("");
}

/** Returns the table of flags that `normalizeArgs` takes. */
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

/** Parsed flags of a command. */
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
 * Parses normalized arguments: `--name=value` or `--name`, then `--`, then the positional ones, which are `rest`.
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
