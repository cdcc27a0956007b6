/**
 * Commands as data: name, help, flags, arguments and action.
 *
 * @module
 */

import { type Flags, type Read, readFlags, UsageError } from "./flag_schema.ts";

/** A positional argument of a command. */
export interface Word {
  /** Name in the usage line, such as `CONTAINER`. */
  readonly name: string;
  /** Help text. */
  readonly brief: string;
  /** Set if it may be omitted. */
  readonly optional?: boolean;
  /** Set if it can be repeated; only the last one can. */
  readonly repeated?: boolean;
}

/** Help texts of a command or a group. */
interface Texts {
  /** One line, for lists of commands. */
  readonly brief: string;
  /** Description and examples. */
  readonly description: string;
}

/** Runs a command. Resolves to its exit status; undefined is 0. */
export type Action<Values> = (flags: Read<Values>, ...words: string[]) => number | void | Promise<number | void>;

/** A command. */
export interface Command extends Texts {
  /** Flags. */
  readonly flags: Flags<Record<string, unknown>>;
  /** Short flags and the names of their long ones. */
  readonly short: Readonly<Record<string, string>>;
  /** Positional arguments. */
  readonly words: readonly Word[];
  /** Parses normalized arguments and runs the command; undefined for commands that `cli.ts` runs itself. */
  readonly call?: (name: string, arranged: readonly string[]) => Promise<number>;
}

/** A name with commands below it, such as `images`. */
export interface CommandGroup extends Texts {
  /** Commands by name. */
  readonly commands: Readonly<Record<string, Target>>;
  /** Command that the name alone runs. Default: prints help. */
  readonly fallback?: Command;
}

/** A command or a group of commands. */
export type Target = Command | CommandGroup;

/** Definition of a {@linkcode Command}. */
export interface Definition<Values> extends Texts {
  /** Flags. */
  readonly flags: Flags<Values>;
  /** Short flags beside `-i` and `-c` of the directories. Default: none. */
  readonly short?: Readonly<Record<string, string>>;
  /** Positional arguments. Default: none. */
  readonly words?: readonly Word[];
  /** Loads its action. */
  readonly load: () => Promise<Action<Values>>;
}

const FOLDER_LETTERS = { i: "images", c: "containers" };

/** Creates a command, whose module is loaded when it runs. */
export function command<Values extends object>(definition: Definition<Values>): Command {
  const { brief, description, flags, words = [], load } = definition;
  const short = { ...(Object.hasOwn(flags, "containers") ? FOLDER_LETTERS : {}), ...definition.short };
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

function isRequired({ optional = false }: Word): boolean {
  return !optional;
}

function checkWords(name: string, words: readonly Word[], given: readonly string[]): void {
  const required = words.filter(isRequired);
  if (given.length < required.length) {
    throw new UsageError(name, { kind: "missing", names: required.slice(given.length).map(({ name }) => name) });
  }
  const surplus = given[words.length];
  if (surplus !== undefined && !words.at(-1)?.repeated) {
    throw new UsageError(name, { kind: "too-many", value: surplus });
  }
}

/** Returns whether `target` is a group of commands. */
export function isGroup(target: Target): target is CommandGroup {
  return "commands" in target;
}

/** Formats an argument for the usage line: `[PATH…]`. */
export function showWord(word: Word): string {
  const text = word.repeated ? `${word.name}…` : word.name;
  return isRequired(word) ? text : `[${text}]`;
}
