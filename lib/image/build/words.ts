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

/** The words of a line as they are written, quotes and all: a quoted blank ends none. */
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

const NAME = /^[A-Za-z_][A-Za-z0-9_]*/;
const MODIFIERS = ":?(-, +, ?)";

/**
 * What a word says: quotes taken away, variables replaced (`$X`, `${X}`, `${X:-d}`, `${X-d}`, `${X:+v}`, `${X+v}`,
 * `${X:?error}`, `${X?error}`).
 *
 * @throws {WordError}
 */
export function expandWord(word: string, lookup: Lookup, escape = "\\"): string {
  return expand(word, lookup, escape, false);
}

function expand(word: string, lookup: Lookup, escape: string, quotesStay: boolean): string {
  let at = 0;

  function value(name: string, modifier: string | undefined, other: string): string {
    const found = lookup(name), kind = modifier?.at(-1);
    const given = found !== undefined && (modifier?.length !== 2 || found !== "");
    if (kind === "-") return given ? found : other;
    if (kind === "+") return given ? other : "";
    if (kind === "?" && !given) throw new WordError(`$${name} is not set${other ? `: ${other}` : ""}`);
    return found ?? "";
  }

  function variable(): string {
    const [plain] = NAME.exec(word.slice(at)) ?? [];
    if (plain !== undefined) {
      at += plain.length;
      return lookup(plain) ?? "";
    }
    if (word.charAt(at) !== "{") return "$";
    at++;
    const [name] = NAME.exec(word.slice(at)) ?? [];
    if (name === undefined) throw new WordError(`there is no name in ${word}`);
    at += name.length;
    const [modifier] = /^:?[-+?]/.exec(word.slice(at)) ?? [];
    at += modifier?.length ?? 0;
    if (modifier === undefined && word.charAt(at) !== "}") {
      throw new WordError(
        at < word.length ? `the modifier in ${word} is none of ${MODIFIERS}` : `there is a } missing in ${word}`,
      );
    }
    const other = modifier === undefined ? "" : until("}");
    if (word.charAt(at) !== "}") throw new WordError(`there is a } missing in ${word}`);
    at++;
    return value(name, modifier, other);
  }

  function double(): string {
    let text = "";
    while (at < word.length) {
      const character = word.charAt(at++);
      if (character === '"') return text;
      if (character === "$") text += variable();
      else if (character === escape && ['"', "$", escape].includes(word.charAt(at))) text += word.charAt(at++);
      else text += character;
    }
    throw new WordError(`there is a " missing in ${word}`);
  }

  function until(end: string): string {
    let text = "";
    while (at < word.length && word.charAt(at) !== end) {
      const character = word.charAt(at++);
      if (character === "$") text += variable();
      else if (character === escape && (!quotesStay || /[$\\`]/.test(word.charAt(at)))) text += word.charAt(at++);
      else if (quotesStay && end === "") text += character;
      else if (character === '"') text += double();
      else if (character === "'") {
        const close = word.indexOf("'", at);
        if (close < 0) throw new WordError(`there is a ' missing in ${word}`);
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
