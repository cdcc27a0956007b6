/**
 * The lines of a Dockerfile: directives, comments, continuations and here-documents. Pure.
 *
 * @module
 */

import { malformed, type Position } from "./problems.ts";
import { splitWords } from "./words.ts";

/** A here-document. */
export interface Heredoc {
  /** The word that ends it, which is also the name of the file that COPY makes of it. */
  readonly name: string;
  /** Its text. */
  readonly text: string;
  /** Whether variables in it are replaced. */
  readonly expand: boolean;
}

/** One instruction as it is written. */
export interface Line extends Position {
  /** Its name in capitals. */
  readonly name: string;
  /** Arguments, continued lines joined. */
  readonly rest: string;
  /** Arguments, with the here-documents as written. */
  readonly raw: string;
  /** The here-documents that it begins. */
  readonly documents: readonly Heredoc[];
}

/** The instructions of a Dockerfile. */
export interface Lines {
  /** The character that continues lines and makes others lose their meaning. */
  readonly escape: string;
  /** The instructions, in order. */
  readonly lines: readonly Line[];
}

const WITH_DOCUMENTS = new Set(["RUN", "COPY", "ADD"]);
const DIRECTIVE = /^#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.*)$/;
const HEREDOC = /^\d*<<(-?)(["']?)([^\s<"']+)\2$/;

/** Reads directives, which can only stand on top. */
function escapeOf(file: string, lines: readonly string[]): string {
  const seen = new Set<string>();
  for (const [i, line] of lines.entries()) {
    const [, name = "", value = ""] = DIRECTIVE.exec(line.trim()) ?? [], key = name.toLowerCase();
    if (!["escape", "syntax", "check"].includes(key) || seen.has(key)) break;
    seen.add(key);
    if (key !== "escape") continue;
    if (value === "\\" || value === "`") return value;
    throw malformed({ file, line: i + 1 }, `the escape character cannot be ${JSON.stringify(value)}`, "\\ or `");
  }
  return "\\";
}

function isBlank(line: string): boolean {
  return /^\s*(#|$)/.test(line);
}

/** Returns a continued line without its escape character; undefined if it is not continued. */
function continuedBy(line: string, escape: string): string | undefined {
  let end = line.length;
  while (line.charAt(end - 1) === " " || line.charAt(end - 1) === "\t") end--;
  return line.charAt(end - 1) === escape ? line.slice(0, end - 1) : undefined;
}

/** Splits a file into logical lines. Throws `bad-dockerfile` for an unterminated here-document. */
export function readLines(file: string, text: string): Lines {
  const source = text.replace(/^\ufeff/, "").split(/\r?\n/), escape = escapeOf(file, source);
  const lines: Line[] = [];
  let next = 0;

  function document(at: Position, word: string): { whole: string; document: Heredoc } | undefined {
    const [, tabs, quote, name] = HEREDOC.exec(word) ?? [];
    if (name === undefined) return undefined;
    const raw: string[] = [], body: string[] = [];
    for (;; next++) {
      const line = source[next];
      if (line === undefined) throw malformed(at, `the here-document <<${name} has no end`, `a line ${name} ends it`);
      const stripped = tabs ? line.replace(/^\t+/, "") : line;
      raw.push(line);
      if (stripped === name) break;
      body.push(`${stripped}\n`);
    }
    next++;
    return { whole: raw.join("\n"), document: { name, text: body.join(""), expand: !quote } };
  }

  while (next < source.length) {
    const at = { file, line: next + 1 };
    const first = source[next++] ?? "";
    if (isBlank(first)) continue;
    const pieces: string[] = [];
    for (let piece: string | undefined = first.trimStart(); piece !== undefined;) {
      const goesOn = continuedBy(piece, escape);
      pieces.push(goesOn ?? piece);
      if (goesOn === undefined) break;
      while (next < source.length && isBlank(source[next] ?? "")) next++;
      piece = source[next++];
    }
    const line = pieces.join(""), [word = ""] = /^\S+/.exec(line) ?? [];
    const name = word.toUpperCase(), rest = line.slice(word.length).trim();
    const words = WITH_DOCUMENTS.has(name) && !rest.startsWith("[") && rest.includes("<<")
      ? splitWords(rest, escape)
      : [];
    const found = words.map((word) => document(at, word)).filter((one) => one !== undefined);
    const raw = [rest, ...found.map(({ whole }) => whole)].join("\n");
    lines.push({ ...at, name, rest, raw, documents: found.map(({ document }) => document) });
  }
  return { escape, lines };
}
