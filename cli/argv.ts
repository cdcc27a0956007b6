/**
 * From what people type to what the command parser reads. `run` is the command if none is named; everything after
 * IMAGE belongs to the container; long flags may have one dash, as with Go's flag package.
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

function split(word: string): [name: string, value: string | undefined] {
  const at = word.indexOf("=");
  return at < 0 ? [word, undefined] : [word.slice(0, at), word.slice(at + 1)];
}

/**
 * The long names of flags of one letter each, of which only the last may have a value: -dp 8080:80. Among others, i is
 * docker's -i: alone it is the original's.
 */
function letters(word: string, table: FlagTable): string[] | undefined {
  const names = [...word.slice(1)]
    .map((letter) => letter === "i" ? "interactive" : table.long(letter))
    .filter((name) => name !== undefined);
  const last = names.length - 1;
  const fit = names.every((name, i) => table.takesValue(name) === false || (i === last && table.takesValue(name)));
  return fit && names.length === word.length - 1 ? names : undefined;
}

/** The long name of a flag written in full or as its only letter, and the value behind a `=`, if any. */
function whole(word: string, table: FlagTable): [name: string, value: string | undefined] | undefined {
  const [dashed, value] = split(word);
  const bare = dashed.slice(dashed.startsWith("--") ? 2 : 1);
  const name = word.startsWith("--") || bare.length > 1 ? bare : table.long(bare) ?? bare;
  return table.takesValue(name) !== undefined ? [name, value] : undefined;
}

/** A short flag with its value glued on: -eA=1, -m64m. */
function glued(word: string, table: FlagTable): [name: string, value: string] | undefined {
  const name = word.startsWith("--") ? undefined : table.long(word.slice(1, 2));
  return name !== undefined && table.takesValue(name) ? [name, word.slice(2)] : undefined;
}

/** Rewrites the words after `run` or `explain` so that flags, image and command cannot be mistaken for each other. */
export function normalizeRun(words: readonly string[], table: FlagTable): string[] {
  const result: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? "";
    if (word === "--") return [...result, ...words.slice(i)];
    if (!word.startsWith("-") || word === "-") return [...result, "--", ...words.slice(i)];
    if (HELP.includes(word) || (word === "-h" && i === words.length - 1)) return ["--help"];
    const exact = whole(word, table);
    const bundle = exact ? undefined : letters(word, table);
    const [name, value] = exact ?? (bundle ? [bundle.at(-1)] : glued(word, table)) ?? [];
    for (const before of bundle?.slice(0, -1) ?? []) result.push(`--${before}`);
    if (name === undefined) result.push(word);
    else if (value !== undefined) result.push(`--${name}=${value}`);
    else if (table.takesValue(name) && i + 1 < words.length) result.push(`--${name}=${words[++i]}`);
    else result.push(`--${name}`);
  }
  return result;
}

/** The flags of one word of letters, a value glued to the last: -fn20, -n=20; undefined if they are others. */
function apart(word: string, table: FlagTable): string[] | undefined {
  const result: string[] = [];
  for (let at = 1; at < word.length; at++) {
    const name = table.long(word.charAt(at));
    if (name === undefined) return undefined;
    result.push(`--${name}`);
    if (!table.takesValue(name)) continue;
    const value = word.slice(at + 1);
    return value === "" ? result : [...result, value.replace(/^=/, "")];
  }
  return result;
}

/** Rewrites the words of other commands, whose flags can stand anywhere, so that each value is a word of its own. */
export function normalizeOther(words: readonly string[], table: FlagTable): string[] {
  const result: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? "";
    if (word === "--") return [...result, ...words.slice(i)];
    const [name, value] = split(word);
    if (word.startsWith("--")) result.push(...value === "" && table.takesValue(name.slice(2)) ? [name, ""] : [word]);
    else result.push(...(/^-./.test(word) ? apart(word, table) : undefined) ?? [word]);
    const last = result.at(-1) ?? "";
    if (last.startsWith("--") && table.takesValue(last.slice(2)) && i + 1 < words.length) result.push(words[++i] ?? "");
  }
  return result;
}

/** The words for the command parser. `tables` has the commands whose last words are those of another command. */
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
  if (table) return [first, ...normalizeRun(rest, table)];
  if (COMMANDS.has(first)) return words.map((word) => word === "-h" ? "--help" : word);
  return ["run", ...normalizeRun(words, tables.run)];
}
