/**
 * Patterns of names: those of COPY, as Go's filepath.Match has them, and those of .dockerignore. Pure.
 *
 * @module
 */

/** The error of a pattern that cannot be read. */
export class PatternError extends Error {
  override name = "PatternError";
}

/** Whether a name has something in it that a pattern would. */
export function isPattern(name: string): boolean {
  return /[*?[\\]/.test(name);
}

function quoted(character: string): string {
  return character.replace(/[^\w\u0080-\uffff]/g, (one) => `\\u{${one.charCodeAt(0).toString(16)}}`);
}

/** Reads `[a-z]`, `[^a]` from `at`, behind the bracket. */
function classOf(pattern: string, at: number): { source: string; end: number } {
  let i = at, source = "", negated = false;
  const bad = (): never => {
    throw new PatternError(`the pattern ${pattern} has a [ that is not closed, or an empty range`);
  };
  const next = (): string => {
    if (pattern.charAt(i) === "\\") i++;
    const character = pattern.charAt(i++);
    return character === "" || character === "-" || character === "]" && pattern.charAt(i - 2) !== "\\"
      ? bad()
      : character;
  };
  if (pattern.charAt(i) === "^") [negated, i] = [true, i + 1];
  while (pattern.charAt(i) !== "]" || source === "") {
    const low = next();
    let high = low;
    if (pattern.charAt(i) === "-") {
      i++;
      high = next();
    }
    if (low > high) bad();
    source += low === high ? quoted(low) : `${quoted(low)}-${quoted(high)}`;
  }
  return { source: `[${negated ? "^/" : ""}${source}]`, end: i + 1 };
}

/** The source of a regular expression for a pattern; with `deep`, `**` stands for any number of folders. */
function sourceOf(pattern: string, deep: boolean): string {
  let source = "";
  for (let i = 0; i < pattern.length;) {
    const character = pattern.charAt(i);
    if (deep && pattern.startsWith("**", i)) {
      i += 2;
      const folder = pattern.charAt(i) === "/";
      if (folder) i++;
      // At the end it is everything below; before a slash, any number of folders, none too.
      source += i >= pattern.length && !folder ? ".*" : "(?:.*/)?";
      continue;
    }
    i++;
    if (character === "*") source += "[^/]*";
    else if (character === "?") source += "[^/]";
    else if (character === "[") {
      const { source: one, end } = classOf(pattern, i);
      source += one;
      i = end;
    } else if (character === "\\") {
      if (i >= pattern.length) throw new PatternError(`the pattern ${pattern} ends with a \\`);
      source += quoted(pattern.charAt(i++));
    } else source += quoted(character);
  }
  return source;
}

/** Whether one name, without slashes, matches a pattern. */
export function matcherOf(pattern: string): (name: string) => boolean {
  const expression = new RegExp(`^${sourceOf(pattern, false)}$`, "su");
  return (name) => expression.test(name);
}

/** What .dockerignore says. */
export interface Ignored {
  /** Whether a path, without a slash in front, is left out. */
  has(path: string): boolean;
  /** Whether something in a folder that is left out may be taken all the same. */
  readonly exceptions: boolean;
}

/** Nothing is left out. */
export const NOTHING_IGNORED: Ignored = { has: () => false, exceptions: false };

function clean(pattern: string): string {
  const parts: string[] = [];
  for (const part of pattern.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

/**
 * Reads a .dockerignore by docker's rules: the last line that matches a path, or a folder above it, counts; `!` takes
 * back; `**` is any number of folders.
 *
 * @throws {PatternError}
 */
export function readIgnored(text: string): Ignored {
  const rules = text.replace(/^\ufeff/, "").split(/\r?\n/).flatMap((line) => {
    if (line.startsWith("#") || line.trim() === "") return [];
    const negated = line.trim().startsWith("!"),
      pattern = clean(line.trim().replace(/^!\s*/, "")).replace(/(\*\*\/)+/g, "**/");
    if (pattern === "") return [];
    return [{ negated, expression: new RegExp(`^${sourceOf(pattern, true)}(?:/.*)?$`, "su") }];
  });
  return {
    has: (path) => !(rules.findLast(({ expression }) => expression.test(path))?.negated ?? true),
    exceptions: rules.some(({ negated }) => negated),
  };
}
