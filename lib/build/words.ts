/**
 * Words of a Dockerfile: where they end, what quotes in them mean, and variables. Pure.
 *
 * @module
 */

/** The value of a variable; undefined if it has none. */
export type Lookup = (name: string) => string | undefined;

/** A word that cannot be read. */
export class WordError extends Error {
  override name = "WordError";
}

/** Returns the words of a line as they are written, quotes and all: a quoted blank ends none. */
export function splitWords(text: string, escape = "\\"): string[] {
  const words: string[] = [];
  let word = "", quote = "", inWord = false;
  for (let i = 0; i < text.length; i++) {
    const character = text.charAt(i);
    if (!quote && /\s/.test(character)) {
      if (inWord) words.push(word);
      [word, inWord] = ["", false];
      continue;
    }
    inWord = true;
    word += character;
    if (character === escape && quote !== "'") word += text.charAt(++i);
    else if (quote ? character === quote : character === '"' || character === "'") quote = quote ? "" : character;
  }
  return inWord ? [...words, word] : words;
}

const NAME = /[A-Za-z_][A-Za-z0-9_]*/y, MODIFIER = /:?[-+?]/y;
const MODIFIERS = ":?(-, +, ?)";
/** How deep variables can be in the values of others: `${A:-${B:-…}}`. */
const MAX_DEPTH = 100;
/** How long a text can become by its variables. */
const MAX_LENGTH = 1 << 20;
const SHOWN_LENGTH = 100;

/**
 * Expands a word: removes quotes, replaces variables (`$X`, `${X}`, `${X:-d}`, `${X-d}`, `${X:+v}`, `${X+v}`,
 * `${X:?error}`, `${X?error}`).
 *
 * @throws {WordError}
 */
export function expandWord(word: string, lookup: Lookup, escape = "\\"): string {
  return expand(word, lookup, escape, false);
}

/** Returns the beginning of what is too long for a message. */
function shorten(text: string): string {
  return text.length > SHOWN_LENGTH ? `${text.slice(0, SHOWN_LENGTH)}…` : text;
}

function valueOf(lookup: Lookup, name: string, modifier: string | undefined, other: string): string {
  const found = lookup(name), kind = modifier?.at(-1);
  const given = found !== undefined && (modifier?.length !== 2 || found !== "");
  if (kind === "-") return given ? found : other;
  if (kind === "+") return given ? other : "";
  if (kind === "?" && !given) {
    throw new WordError(`$${shorten(name)} is not set${other ? `: ${shorten(other)}` : ""}`);
  }
  return found ?? "";
}

function expand(word: string, lookup: Lookup, escape: string, quotesStay: boolean): string {
  const shown = shorten(word);
  let at = 0, depth = 0;

  /** Consumes a match of an expression at this position. */
  function take(expression: RegExp): string | undefined {
    expression.lastIndex = at;
    const [found] = expression.exec(word) ?? [];
    at += found?.length ?? 0;
    return found;
  }

  function checked(text: string): string {
    if (text.length <= MAX_LENGTH) return text;
    throw new WordError(`${shown} becomes longer than ${MAX_LENGTH >> 20} MiB when its variables are replaced`);
  }

  function variable(): string {
    const plain = take(NAME);
    if (plain !== undefined) return lookup(plain) ?? "";
    if (word.charAt(at) !== "{") return "$";
    at++;
    const name = take(NAME);
    if (name === undefined) throw new WordError(`there is no name in ${shown}`);
    const modifier = take(MODIFIER);
    if (modifier === undefined && word.charAt(at) !== "}") {
      throw new WordError(
        at < word.length ? `the modifier in ${shown} is none of ${MODIFIERS}` : `there is a } missing in ${shown}`,
      );
    }
    if (++depth > MAX_DEPTH) throw new WordError(`variables in ${shown} are nested more than ${MAX_DEPTH} deep`);
    const other = modifier === undefined ? "" : until("}");
    depth--;
    if (word.charAt(at) !== "}") throw new WordError(`there is a } missing in ${shown}`);
    at++;
    return valueOf(lookup, name, modifier, other);
  }

  function double(): string {
    let text = "";
    while (at < word.length) {
      const character = word.charAt(at++);
      if (character === '"') return text;
      if (character === "$") text = checked(text + variable());
      else if (character === escape && ['"', "$", escape].includes(word.charAt(at))) text += word.charAt(at++);
      else text += character;
    }
    throw new WordError(`there is a " missing in ${shown}`);
  }

  function until(end: string): string {
    let text = "";
    while (at < word.length && word.charAt(at) !== end) {
      const character = word.charAt(at++);
      if (character === "$") text = checked(text + variable());
      else if (character === escape && (!quotesStay || /[$\\`]/.test(word.charAt(at)))) text += word.charAt(at++);
      else if (quotesStay && end === "") text += character;
      else if (character === '"') text = checked(text + double());
      else if (character === "'") {
        const close = word.indexOf("'", at);
        if (close < 0) throw new WordError(`there is a ' missing in ${shown}`);
        text += word.slice(at, close);
        at = close + 1;
      } else text += character;
    }
    return text;
  }

  return until("");
}

/** Replaces the variables of a text that is no word, as a shell does in a here-document: its quotes stay. */
export function expandText(text: string, lookup: Lookup, escape = "\\"): string {
  return expand(text, lookup, escape, true);
}
