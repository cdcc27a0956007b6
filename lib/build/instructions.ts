/**
 * Instructions of a Dockerfile, before variables are expanded. Pure.
 *
 * @module
 */

import type { Heredoc, Line } from "./lines.ts";
import { checkTarget, malformed, type Position, unsupported } from "./problems.ts";
import { splitWords } from "./words.ts";

/** A command: words, or a line for a shell. */
export type Command = { readonly words: readonly string[] } | { readonly line: string };

/** Names and values. */
export type Pairs = readonly (readonly [name: string, value: string])[];

/** Arguments of COPY and ADD. */
export interface Copy {
  /** ADD unpacks archives. */
  readonly kind: "COPY" | "ADD";
  /** Paths and patterns to copy. */
  readonly sources: readonly string[];
  /** Files that stand in the Dockerfile itself. */
  readonly documents: readonly Heredoc[];
  /** Destination. */
  readonly target: string;
  /** A stage or an image. Default: the context. */
  readonly from?: string;
  /** The owner of what is copied. */
  readonly chown?: string;
  /** Its mode. */
  readonly chmod?: string;
}

/** Parsed instruction. */
export type Meaning =
  | { readonly kind: "FROM"; readonly image: string; readonly as?: string; readonly platform?: string }
  | { readonly kind: "RUN" | "CMD" | "ENTRYPOINT"; readonly command: Command }
  | Copy
  | { readonly kind: "ENV" | "LABEL"; readonly pairs: Pairs }
  | { readonly kind: "ARG"; readonly args: readonly (readonly [name: string, value: string | undefined])[] }
  | { readonly kind: "EXPOSE" | "VOLUME"; readonly words: readonly string[] }
  | { readonly kind: "SHELL"; readonly words: readonly string[] }
  | { readonly kind: "WORKDIR" | "USER" | "STOPSIGNAL"; readonly word: string };

/** One instruction. */
export type Instruction = Position & Meaning & {
  /** The whole as people read it. */
  readonly text: string;
};

type Parse = (line: Line, rest: string, escape: string) => Meaning;

const ELSEWHERE: Readonly<Record<string, string>> = {
  ONBUILD: "write the instruction into the Dockerfile that is built on this image",
  HEALTHCHECK: "say it when the container is made: sauropod run -d --health-cmd …",
};

function jsonWords(text: string): string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (Array.isArray(value) && value.every((word) => typeof word === "string")) return value;
  } catch {
    // Docker takes it for words, or a line for the shell; so does who tests with `[`.
  }
  return undefined;
}

function own<T>(values: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(values, key) ? values[key] : undefined;
}

/** Splits off the leading flags. */
function flagsOf(
  line: Line,
  known: readonly string[],
  others: Readonly<Record<string, string>> = {},
): { flags: ReadonlyMap<string, string>; rest: string } {
  const flags = new Map<string, string>();
  let { rest } = line;
  for (;;) {
    const [whole, name, value] = /^--([a-zA-Z][a-zA-Z0-9-]*)(?:=(\S*))?(?:\s+|$)/.exec(rest) ?? [];
    if (whole === undefined || name === undefined) return { flags, rest };
    const hint = own(others, name);
    if (hint !== undefined) throw unsupported(line, `${line.name} --${name}`, hint);
    if (!known.includes(name)) {
      const all = known.length ? `it knows ${known.map((flag) => `--${flag}`).join(", ")}` : "it has none here";
      throw malformed(line, `${line.name} has no flag --${name}`, all);
    }
    if (flags.has(name)) throw malformed(line, `--${name} is there twice`);
    if (value === undefined && name !== "link") throw malformed(line, `--${name} needs a value: --${name}=…`);
    flags.set(name, value ?? "true");
    rest = rest.slice(whole.length);
  }
}

/** `NAME=VALUE …`, or `NAME VALUE` as it once was. */
function pairsOf(line: Line, rest: string, escape: string): Pairs {
  const words = splitWords(rest, escape), [first = ""] = words;
  if (!first.includes("=")) {
    const [, name, value] = /^(\S+)\s+([\s\S]+)$/.exec(rest) ?? [];
    if (name === undefined || value === undefined) throw malformed(line, `${line.name} ${first} has no value`);
    return [[name, value]];
  }
  return words.map((word) => {
    const at = word.indexOf("=");
    if (at > 0) return [word.slice(0, at), word.slice(at + 1)];
    // It may be the rest of a value that is a secret.
    throw malformed(line, `${line.name} has a word that is not NAME=VALUE`, "quote values that hold blanks");
  });
}

const from: Parse = (line) => {
  const { flags, rest } = flagsOf(line, ["platform"]);
  const [image, as, name, ...more] = rest.split(/\s+/);
  if (!image || more.length > 0 || as !== undefined && (as.toUpperCase() !== "AS" || name === undefined)) {
    throw malformed(line, "FROM takes an image and perhaps a name", "FROM IMAGE [AS NAME]");
  }
  if (name !== undefined && !/^[a-z][a-z0-9_.-]*$/i.test(name)) {
    throw malformed(line, `invalid stage name ${JSON.stringify(name)}`, "letters, digits, _, . and -");
  }
  return { kind: "FROM", image, as: name?.toLowerCase(), platform: flags.get("platform") };
};

const run: Parse = (line) => {
  const { rest } = flagsOf(line, [], {
    mount: "copy what is needed, or prepare it in another stage and take it with COPY --from",
    network: "say it for the whole build: --network none",
    security: "commands run with the capabilities of any container",
    device: "commands get the devices of any container",
  });
  const words = jsonWords(rest);
  if (words) return { kind: "RUN", command: { words } };
  const [only] = line.documents;
  // Alone, it is the script; else it is for the shell to read.
  if (!only || !/^<<\S+$/.test(rest)) {
    return { kind: "RUN", command: { line: rest + line.raw.slice(line.rest.length) } };
  }
  if (only.text.startsWith("#!")) {
    throw unsupported(line, "a here-document with an interpreter of its own", "write RUN INTERPRETER <<EOF");
  }
  return { kind: "RUN", command: { line: only.text } };
};

const command: Parse = (line, rest) => {
  const words = jsonWords(rest), kind = line.name === "CMD" ? "CMD" : "ENTRYPOINT";
  return { kind, command: words ? { words } : { line: rest } };
};

const copy: Parse = (line, _, escape) => {
  const kind = line.name === "ADD" ? "ADD" : "COPY", context = kind === "ADD" ? [] : ["from"];
  const { flags, rest } = flagsOf(line, [...context, "chown", "chmod", "link"], {
    parents: "name the folders on both sides",
    exclude: "name what is not to be copied in .dockerignore",
    checksum: "fetch files with RUN",
    "keep-git-dir": "clone repositories with RUN",
    unpack: "ADD unpacks archives, COPY does not",
  });
  const json = jsonWords(rest);
  const words = json ?? (line.documents.length ? splitWords(rest, escape) : rest.split(/\s+/));
  const sources = line.documents.length ? words.filter((word) => !/^\d*<</.test(word)) : [...words];
  const target = sources.pop();
  if (target === undefined || target === "" || sources.length + line.documents.length === 0) {
    throw malformed(line, `${kind} takes what to copy and where to`, `${kind} SOURCE… DESTINATION`);
  }
  if (!target.includes("$")) checkTarget(line, sources.length + line.documents.length, target);
  const url = kind === "ADD" && sources.find((source) => /^(https?|ftp|git|ssh):\/\/|^git@/.test(source));
  if (url) {
    throw unsupported(line, `ADD of ${url}`, "fetch it with RUN, such as RUN wget URL, or put it into the context");
  }
  const text = (name: string): string | undefined => flags.get(name);
  const { documents } = line;
  return { kind, sources, documents, target, from: text("from"), chown: text("chown"), chmod: text("chmod") };
};

const pairs: Parse = (line, rest, escape) => ({
  kind: line.name === "ENV" ? "ENV" : "LABEL",
  pairs: pairsOf(line, rest, escape),
});

const arg: Parse = (line, rest, escape) => ({
  kind: "ARG",
  args: splitWords(rest, escape).map((word) => {
    const [, name, value] = /^([A-Za-z_][A-Za-z0-9_]*)(?:=([\s\S]*))?$/.exec(word) ?? [];
    if (name === undefined) throw malformed(line, `invalid argument ${JSON.stringify(word)}`, "ARG NAME[=DEFAULT]");
    return [name, value];
  }),
});

const list: Parse = (line, rest, escape) => {
  const kind = line.name === "EXPOSE" ? "EXPOSE" : "VOLUME";
  const words = kind === "VOLUME" ? jsonWords(rest) ?? splitWords(rest, escape) : splitWords(rest, escape);
  if (words.some((word) => word === "")) throw malformed(line, `${kind} holds an empty word`);
  return { kind, words };
};

const shell: Parse = (line, rest) => {
  const words = jsonWords(rest);
  if (words?.length) return { kind: "SHELL", words };
  throw malformed(line, "SHELL takes a JSON list of words", 'SHELL ["/bin/bash", "-c"]');
};

const word = (kind: "WORKDIR" | "USER" | "STOPSIGNAL"): Parse => (_, rest) => ({ kind, word: rest });

const PARSERS: Readonly<Record<string, Parse>> = {
  FROM: from,
  RUN: run,
  CMD: command,
  ENTRYPOINT: command,
  COPY: copy,
  ADD: copy,
  ENV: pairs,
  LABEL: pairs,
  ARG: arg,
  EXPOSE: list,
  VOLUME: list,
  SHELL: shell,
  WORKDIR: word("WORKDIR"),
  USER: word("USER"),
  STOPSIGNAL: word("STOPSIGNAL"),
  MAINTAINER: (_, rest) => ({ kind: "LABEL", pairs: [["maintainer", JSON.stringify(rest)]] }),
};

/** Reads one instruction. Throws `bad-dockerfile`, and `dockerfile-unsupported` for what is not done here. */
export function readInstruction(line: Line, escape: string): Instruction {
  const { file, name, rest } = line, hint = own(ELSEWHERE, name);
  if (hint !== undefined) throw unsupported(line, name, hint);
  const parse = own(PARSERS, name);
  if (!parse) {
    throw malformed(line, `unknown instruction ${JSON.stringify(name.slice(0, 40))}`, Object.keys(PARSERS).join(", "));
  }
  if (rest === "") throw malformed(line, `${name} requires an argument`);
  return { ...parse(line, rest, escape), file, line: line.line, text: `${name} ${rest.replace(/\s+/g, " ")}` };
}
