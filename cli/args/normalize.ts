/**
 * From what people type to what is read: flags in full, then `--`, then all other words. `run` is the command if none is
 * named; long flags may have one dash, as with Go's flag package.
 *
 * @module
 */

/** What must be known of a command's flags to find where they end. */
export interface FlagTable {
  /** Whether a value follows the flag of this long name, in kebab case; undefined if there is none. */
  takesValue(name: string): boolean | undefined;
  /** The long name of the flag of one letter; undefined if there is none. */
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

/** A flag's long name, and the value that is glued to it. */
type Typed = readonly [name: string, value?: string];

function split(text: string): Typed {
  const at = text.indexOf("=");
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

/** The flags in a word: `--name`, `-name`, `--name=value`, or letters, the last with its value: `-dp8080:80`, `-n=20`. */
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

// To run, -i is the original's alone, and docker's among other letters.
function longOf(letter: string, isAmong: boolean, table: FlagTable): string | undefined {
  const docker = letter === "i" && isAmong && table.takesValue("interactive") !== undefined;
  return docker ? "interactive" : table.long(letter);
}

/**
 * Puts the flags of a command before `--` and the other words behind it, so that they cannot be mistaken for each other.
 * A flag that is none is left as it is.
 *
 * @param mixed Whether flags can also stand behind other words.
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

/** The words of the command line, arranged if `tables` has the command. */
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
