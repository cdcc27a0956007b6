/**
 * Patterns of names: those of COPY, as Go's filepath.Match has them, and those of .dockerignore. Pure.
 *
 * A pattern is matched without backtracking: all places that it can have come to are followed at once, so that the time
 * is at most the pattern's length times the name's, whatever either says.
 *
 * @module
 */

/** The error of a pattern that cannot be read. */
export class PatternError extends Error {
  override name = "PatternError";
}

/** Reports whether a name contains pattern characters. */
export function isPattern(name: string): boolean {
  return /[*?[\\]/.test(name);
}

/** One part of a pattern: one character, or any number of them. */
type Token =
  | { readonly kind: "one"; readonly character: string }
  | { readonly kind: "class"; readonly negated: boolean; readonly ranges: readonly (readonly [string, string])[] }
  /** `?`, `*`: any character but a slash; any number of those. */
  | { readonly kind: "any" | "star" }
  /** `**` at the end: whatever there is. */
  | { readonly kind: "rest" }
  /** `**` before something else: nothing, or any number of directories; and, behind it, a directory that has begun. */
  | { readonly kind: "folders" | "inside" };

const QUOTED_LENGTH = 100, SLASH = 0x2f;

function shown(pattern: readonly string[]): string {
  return pattern.length > QUOTED_LENGTH ? `${pattern.slice(0, QUOTED_LENGTH).join("")}…` : pattern.join("");
}

/** Reads `[a-z]`, `[^a]` from `at`, behind the bracket. */
function classOf(pattern: readonly string[], at: number): { token: Token; end: number } {
  let i = at;
  const ranges: [string, string][] = [];
  const bad = (): never => {
    throw new PatternError(`the pattern ${shown(pattern)} has a [ that is not closed, or an empty range`);
  };
  const next = (): string => {
    const escaped = pattern[i] === "\\", character = pattern[escaped ? i + 1 : i];
    i += escaped ? 2 : 1;
    return character === undefined || character === "-" || character === "]" && !escaped ? bad() : character;
  };
  const negated = pattern[i] === "^";
  if (negated) i++;
  while (pattern[i] !== "]" || ranges.length === 0) {
    const low = next();
    let high = low;
    if (pattern[i] === "-") {
      i++;
      high = next();
    }
    if (codeOf(low) > codeOf(high)) bad();
    ranges.push([low, high]);
  }
  return { token: { kind: "class", negated, ranges }, end: i + 1 };
}

function codeOf(character: string): number {
  return character.codePointAt(0) ?? 0;
}

/** Parses a pattern; with `deep`, `**` matches any number of directories. */
function tokensOf(text: string, deep: boolean): Token[] {
  const pattern = [...text], tokens: Token[] = [];
  // Twice the same is once: what is left has a part for one character between any two of these.
  const add = (kind: "star" | "rest" | "folders"): void => {
    const last = tokens.at(-1)?.kind;
    if (last === kind || last === "inside" && kind === "folders") return;
    tokens.push({ kind }, ...(kind === "folders" ? [{ kind: "inside" }] as const : []));
  };
  for (let i = 0; i < pattern.length;) {
    const character = pattern[i] ?? "";
    if (deep && character === "*" && pattern[i + 1] === "*") {
      i += 2;
      const folder = pattern[i] === "/";
      if (folder) i++;
      add(i >= pattern.length && !folder ? "rest" : "folders");
      continue;
    }
    i++;
    if (character === "*") add("star");
    else if (character === "?") tokens.push({ kind: "any" });
    else if (character === "[") {
      const { token, end } = classOf(pattern, i);
      tokens.push(token);
      i = end;
    } else if (character === "\\") {
      const literal = pattern[i++];
      if (literal === undefined) throw new PatternError(`the pattern ${shown(pattern)} ends with a \\`);
      tokens.push({ kind: "one", character: literal });
    } else tokens.push({ kind: "one", character });
  }
  return tokens;
}

/** Reports whether a character leads from a part to the next. */
function leads(token: Token, character: string): boolean {
  if (token.kind === "one") return token.character === character;
  if (token.kind === "any") return character !== "/";
  if (token.kind === "inside") return character === "/";
  if (token.kind !== "class") return false;
  const code = codeOf(character);
  const inside = token.ranges.some(([low, high]) => codeOf(low) <= code && code <= codeOf(high));
  return token.negated ? !inside && character !== "/" : inside;
}

/** Reports whether a name matches. */
type Matcher = (name: string) => boolean;

function isWild({ kind }: Token): boolean {
  return kind === "star" || kind === "rest" || kind === "folders" || kind === "inside";
}

/** The longest pattern whose places are the bits of one number. */
const MOST_BITS = 30, ASCII = 128;

/** Follows all places of a short pattern as the bits of a number. Most patterns are short, and paths many. */
function bitMatcher(tokens: readonly Token[], below: boolean): Matcher {
  const maskOf = (has: (token: Token) => boolean): number =>
    tokens.reduce((mask, token, i) => has(token) ? mask | 1 << i : mask, 0);
  const folders = maskOf(({ kind }) => kind === "folders"),
    free = maskOf(({ kind }) => kind === "star" || kind === "rest");
  const stays = maskOf(({ kind }) => kind === "inside" || kind === "rest");
  const staysInFolder = stays | maskOf(({ kind }) => kind === "star"), end = 1 << tokens.length;
  const known = new Int32Array(ASCII).fill(-1);
  const advancing = (character: string): number => maskOf((token) => leads(token, character));
  const closed = (places: number): number => {
    const begun = places & folders, all = places | begun << 1 | begun << 2;
    return all | (all & free) << 1;
  };
  const start = closed(1);
  return (name) => {
    let places = start;
    for (let i = 0; i < name.length; i++) {
      const code = name.charCodeAt(i), isSlash = code === SLASH;
      if (below && isSlash && places & end) return true;
      let mask = code < ASCII ? known[code] ?? -1 : -1;
      if (mask < 0) {
        const character = String.fromCodePoint(name.codePointAt(i) ?? 0);
        mask = advancing(character);
        if (code < ASCII) known[code] = mask;
        else i += character.length - 1;
      }
      places = closed((places & mask) << 1 | places & (isSlash ? stays : staysInFolder));
      if (places === 0) return false;
    }
    return (places & end) !== 0;
  };
}

/** Follows all places of a pattern as a list of them. */
function listMatcher(tokens: readonly Token[], below: boolean): Matcher {
  const end = tokens.length;
  // At which step a place was reached last, so that none is followed twice.
  const reached = new Int32Array(end + 1);
  let step = 0;

  /** Adds a place, and those that nothing need be read to come to. */
  function reach(places: number[], place: number): void {
    for (let at = place; reached[at] !== step;) {
      reached[at] = step;
      places.push(at);
      const kind = tokens[at]?.kind;
      if (kind === "folders") reach(places, at + 1);
      if (kind === "folders") at += 2;
      else if (kind === "star" || kind === "rest") at++;
      else return;
    }
  }

  return (name) => {
    reached.fill(-1);
    step = 0;
    let places: number[] = [];
    reach(places, 0);
    for (const character of name) {
      const isSlash = character === "/";
      if (below && isSlash && reached[end] === step) return true;
      step++;
      const next: number[] = [];
      for (const at of places) {
        const token = tokens[at];
        if (token === undefined) continue;
        if (token.kind === "inside" || token.kind === "rest" || token.kind === "star" && !isSlash) reach(next, at);
        if (leads(token, character)) reach(next, at + 1);
      }
      if (next.length === 0) return false;
      places = next;
    }
    return reached[end] === step;
  };
}

/** Makes what tells whether names match; with `below`, also whether a directory above them does. */
function compile(pattern: string, deep: boolean, below: boolean): Matcher {
  const tokens = tokensOf(pattern, deep);
  const matches = (tokens.length <= MOST_BITS ? bitMatcher : listMatcher)(tokens, below);
  // So the time does not depend on how long the pattern is, but on the name alone.
  const shortest = tokens.filter((token) => !isWild(token)).length;
  return (name) => name.length >= shortest && matches(name);
}

/** Reports whether one name, without slashes, matches a pattern. */
export function matcherOf(pattern: string): Matcher {
  return compile(pattern, false, false);
}

/** Parsed .dockerignore. */
export interface Ignored {
  /** Reports whether a path, without a leading slash, is ignored. */
  has(path: string): boolean;
  /** Reports whether something in an ignored directory may be included again. */
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
 * Reads a .dockerignore by docker's rules: the last line that matches a path, or a directory above it, counts; `!` takes
 * back; `**` is any number of directories.
 *
 * @throws {PatternError}
 */
export function readIgnored(text: string): Ignored {
  const rules = text.replace(/^\ufeff/, "").split(/\r?\n/).flatMap((line) => {
    if (line.startsWith("#") || line.trim() === "") return [];
    const negated = line.trim().startsWith("!"), pattern = clean(line.trim().replace(/^!\s*/, ""));
    return pattern === "" ? [] : [{ negated, matches: compile(pattern, true, true) }];
  });
  return {
    has: (path) => !(rules.findLast(({ matches }) => matches(path))?.negated ?? true),
    exceptions: rules.some(({ negated }) => negated),
  };
}
