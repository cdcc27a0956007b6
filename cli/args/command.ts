/**
 * Commands as data: what each is called, takes and does.
 *
 * @module
 */

import { type Flags, type Read, readFlags, UsageError } from "./flag_schema.ts";

/** A word that a command takes besides flags. */
export interface Word {
  /** What stands for it in the usage line, such as `CONTAINER`. */
  readonly name: string;
  /** What it is. */
  readonly brief: string;
  /** Whether it can be left out. */
  readonly optional?: boolean;
  /** Whether more of the same can follow; only of the last word. */
  readonly repeated?: boolean;
}

/** What help says of a command or a group. */
interface Texts {
  /** One line, for lists of commands. */
  readonly brief: string;
  /** More of it, and examples. */
  readonly description: string;
}

/** What a command does with its flags and words. Resolves to its exit status, 0 if that is undefined. */
export type Action<Values> = (flags: Read<Values>, ...words: string[]) => number | void | Promise<number | void>;

/** A command. */
export interface Command extends Texts {
  /** Its flags. */
  readonly flags: Flags<Record<string, unknown>>;
  /** The letters of flags, with their names. */
  readonly short: Readonly<Record<string, string>>;
  /** The words that it takes. */
  readonly words: readonly Word[];
  /** Reads arranged flags and calls the command; undefined for those that `cli.ts` calls itself. */
  readonly call?: (name: string, arranged: readonly string[]) => Promise<number>;
}

/** A name with commands below it, such as `images`. */
export interface CommandGroup extends Texts {
  /** The commands, by name. */
  readonly commands: Readonly<Record<string, Target>>;
  /** What the name alone calls. Default: its help is printed. */
  readonly fallback?: Command;
}

/** What words can name. */
export type Target = Command | CommandGroup;

/** How a command is defined: see {@linkcode Command}. */
export interface Definition<Values> extends Texts {
  /** Its flags. */
  readonly flags: Flags<Values>;
  /** The letters of flags, with their names. Default: none. */
  readonly short?: Readonly<Record<string, string>>;
  /** The words that it takes. Default: none. */
  readonly words?: readonly Word[];
  /** Loads what it does. */
  readonly load: () => Promise<Action<Values>>;
}

/** Returns a command; its module is loaded when it is called. */
export function command<Values extends object>(definition: Definition<Values>): Command {
  const { brief, description, flags, short = {}, words = [], load } = definition;
  return {
    brief,
    description,
    flags,
    short,
    words,
    async call(name, arranged) {
      const { values, rest } = readFlags(name, flags, arranged);
      checkWords(name, words, rest);
      const action = await load();
      return await action(values, ...rest) ?? 0;
    },
  };
}

function isNeeded({ optional = false }: Word): boolean {
  return !optional;
}

function checkWords(name: string, words: readonly Word[], given: readonly string[]): void {
  const needed = words.filter(isNeeded);
  if (given.length < needed.length) {
    throw new UsageError(name, { kind: "missing", names: needed.slice(given.length).map(({ name }) => name) });
  }
  const surplus = given[words.length];
  if (surplus !== undefined && !words.at(-1)?.repeated) {
    throw new UsageError(name, { kind: "too-many", value: surplus });
  }
}

/** Returns whether there are commands below `target`. */
export function isGroup(target: Target): target is CommandGroup {
  return "commands" in target;
}

/** Returns how a word is shown in a usage line: `[PATH…]`. */
export function showWord(word: Word): string {
  const text = word.repeated ? `${word.name}…` : word.name;
  return isNeeded(word) ? text : `[${text}]`;
}
