/**
 * Flags as data of our own, and reading them: for commands whose last words are those of another command. They start
 * quicker without the parser of the others.
 *
 * @module
 */

import { InputError, messageOf, SauropodError } from "../lib/errors.ts";
import type { FlagTable } from "./argv.ts";

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
export type Flags<Values> = { readonly [K in keyof Values]-?: Flag<NonNullable<Values[K]>> };

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

/** What `normalize` must know of flags and their short forms. */
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

function set<Values, K extends keyof Values & string>(
  flags: Flags<Values>,
  values: { -readonly [N in keyof Values]?: NonNullable<Values[N]> },
  name: K,
  text: string,
): void {
  const flag = flags[name];
  try {
    values[name] = flag.read(text, values[name]);
  } catch (error) {
    throw new InputError(`--${kebab(name)} ${text}: ${messageOf(error)}`, {
      code: "bad-flag",
      facts: { flag: kebab(name), value: text },
      hint: error instanceof SauropodError ? error.hint : flag.brief,
    });
  }
}

/**
 * Reads normalized words: `--name=value` or `--name`, then `--`, then the words that are returned as `rest`.
 *
 * @throws {InputError} `unknown-flag`, `bad-flag`.
 */
export function readFlags<Values>(
  command: string,
  flags: Flags<Values>,
  words: readonly string[],
): { values: Partial<Values>; rest: readonly string[] } {
  const values: { -readonly [K in keyof Values]?: NonNullable<Values[K]> } = {};
  const end = words.indexOf("--");
  for (const flag of end < 0 ? words : words.slice(0, end)) {
    const equals = flag.indexOf("="), dashed = equals < 0 ? flag : flag.slice(0, equals);
    const text = equals < 0 ? undefined : flag.slice(equals + 1);
    const name = camel(dashed.slice(2));
    if (!isNameOf(flags, name) || !flag.startsWith("--")) {
      throw new InputError(`there is no flag ${dashed}`, {
        code: "unknown-flag",
        facts: { flag },
        hint: `sauropod ${command} --help lists all flags`,
      });
    }
    const { placeholder, brief } = flags[name];
    if (text === undefined && placeholder !== undefined) {
      throw new InputError(`${dashed} needs a value: ${placeholder}`, { code: "bad-flag", hint: brief });
    }
    set(flags, values, name, text ?? "true");
  }
  return { values, rest: end < 0 ? [] : words.slice(end + 1) };
}
