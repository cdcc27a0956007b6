/**
 * Argument normalization: long flags, then `--`, then positional arguments. The default command is `run`; long flags may
 * have one dash, as with Go's flag package.
 *
 * @module
 */

/** The facts about a command's flags that tell where they end. */
export interface FlagTable {
  /** Returns whether the flag of this long name takes a value; undefined if there is no such flag. */
  takesValue(name: string): boolean | undefined;
  /** Returns the long name of a short flag; undefined if there is none. */
  long(letter: string): string | undefined;
}

/** Sauropod's version. */
export const VERSION = "0.1.0";

/** The names of all commands. */
export const COMMANDS: ReadonlySet<string> = new Set(
  [
    ...[
      "run",
      "create",
      "fork",
      "start",
      "stop",
      "kill",
      "wait",
      "restart",
      "rename",
      "exec",
      "attach",
      "ps",
      "rm",
      "inspect",
    ],
    ...["cp", "diff", "export", "apply"],
    ...["logs", "events", "port", "top", "stats", "pause", "unpause", "update"],
    ...["commit", "images", "login", "logout", "network", "explain", "gc", "doctor", "completions"],
  ],
);

const HELP = ["--help", "-help"];

/** A flag's long name, and the value attached to it. */
type Typed = readonly [name: string, value?: string];

function split(text: string): Typed {
  const at = text.indexOf("=");
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/** Splits a word into flags: `--name`, `-name`, `--name=value`, or letters, the last with its value: `-dp8080:80`, `-n=20`. */
function flagsIn(word: string, table: FlagTable): Typed[] | undefined {
  const full = word.startsWith("--"), typed = split(word.slice(full ? 2 : 1));
  if (full || typed[0].length > 1 && table.takesValue(typed[0]) !== undefined) {
    return table.takesValue(typed[0]) === undefined ? undefined : [typed];
  }
  const flags: Typed[] = [];
  for (let at = 1; at < word.length; at++) {
    const rest = word.slice(at + 1), assigned = rest.startsWith("=");
    const name = longOf(word.charAt(at), word.length > 2 && !assigned, table);
    if (name === undefined) return undefined;
    if (assigned) return [...flags, [name, rest.slice(1)]];
    if (table.takesValue(name)) return [...flags, rest === "" ? [name] : [name, rest]];
    flags.push([name]);
  }
  return flags;
}

// Alone, -i of run is --images; among other letters it is --interactive, as in docker's -it.
function longOf(letter: string, isAmong: boolean, table: FlagTable): string | undefined {
  const docker = letter === "i" && isAmong && table.takesValue("interactive") !== undefined;
  return docker ? "interactive" : table.long(letter);
}

/**
 * Puts the flags of a command before `--` and its positional arguments after it. Leaves unknown flags as they are.
 *
 * @param mixed Whether flags may follow positional arguments.
 */
export function normalizeArgs(words: readonly string[], table: FlagTable, mixed = false): string[] {
  const flags: string[] = [], others: string[] = [];
  let end = 0;
  for (; end < words.length; end++) {
    const word = words[end] ?? "";
    if (word === "--") {
      end++;
      break;
    }
    if (word === "-" || !word.startsWith("-")) {
      if (!mixed) break;
      others.push(word);
      continue;
    }
    const typed = flagsIn(word, table);
    const asksHelp = word === "-h" && (typed === undefined || end === words.length - 1);
    if (asksHelp || HELP.includes(split(word)[0])) return ["--help"];
    if (typed === undefined) flags.push(word);
    for (const [name, value = table.takesValue(name) ? words[++end] : undefined] of typed ?? []) {
      flags.push(value === undefined ? `--${name}` : `--${name}=${value}`);
    }
  }
  others.push(...words.slice(end));
  return others.length > 0 ? [...flags, "--", ...others] : flags;
}

/** Normalizes a command line; the arguments only of commands that `tables` has. */
export function normalize(
  words: readonly string[],
  tables: Readonly<Record<string, FlagTable>> & { readonly run: FlagTable },
): string[] {
  const [first, ...rest] = words;
  const alone = words.length === 1 && first === "-h";
  if (first === "help" && COMMANDS.has(rest[0] ?? "")) return [...rest, "--help"];
  if (first === undefined || alone || [...HELP, "help", "--version"].includes(first)) {
    return [first === "--version" ? "--version" : "--help"];
  }
  const table = tables[first];
  if (table) return [first, ...normalizeArgs(rest, table)];
  return COMMANDS.has(first) ? [...words] : ["run", ...normalizeArgs(words, tables.run)];
}
