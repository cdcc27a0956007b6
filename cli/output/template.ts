/**
 * `--format`: texts with placeholders, the part of docker's templates that scripts use.
 *
 * @module
 */

import { InputError } from "../../lib/errors.ts";
import { printable, printableJson } from "../../lib/text/printable.ts";

/** The value of a placeholder `.PATH`, given the parts of the path; undefined if there is no such thing. */
export type Lookup<T> = (thing: T, path: readonly string[]) => unknown;

type Part<T> = string | ((thing: T) => string);

// {{.Names}}, {{json .}}, {{.Label "tier"}}
const PLACEHOLDER = /^(json\s+)?\.([\w.-]*)(?:\s+"([^"]*)")?$/;
const ESCAPES: Readonly<Record<string, string>> = { "\\t": "\t", "\\n": "\n" };

function refuse(format: string, placeholder: string, known: string): never {
  throw new InputError(`--format ${format}: {{${placeholder}}} is not known`, {
    code: "bad-format",
    facts: { format, placeholder },
    hint: `{{.NAME}} and {{json .NAME}} are, where NAME is ${known}`,
  });
}

function show(value: unknown): string {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? printableJson(value) : printable(String(value));
}

function placeholderIn<T>(format: string, inner: string, lookup: Lookup<T>, known: string): (thing: T) => string {
  const [whole, json, path = "", argument] = PLACEHOLDER.exec(inner) ?? [];
  if (whole === undefined) refuse(format, inner, known);
  const parts = path.split(".").filter((part) => part !== "");
  if (argument !== undefined) parts.push(argument);
  return (thing) => {
    const value = lookup(thing, parts);
    if (value === undefined) refuse(format, inner, known);
    return json ? printableJson(value) : show(value);
  };
}

function partsOf<T>(format: string, lookup: Lookup<T>, known: string): Part<T>[] {
  const text = format.replaceAll(/\\[tn]/g, (escape) => ESCAPES[escape] ?? escape);
  return text.split(/\{\{-?\s*(.*?)\s*-?\}\}/).map((piece, i) =>
    i % 2 === 0 ? piece : placeholderIn(format, piece, lookup, known)
  );
}

/**
 * The function that writes a thing as `format` says: text with `{{.PATH}}` and `{{json .PATH}}`, or `json` for all of it.
 *
 * @param known What placeholders there are, for the message.
 * @throws {InputError} `bad-format` for placeholders that are unknown; the function throws it for those without a value.
 */
export function parseTemplate<T>(format: string, lookup: Lookup<T>, known: string): (thing: T) => string {
  const parts = partsOf(format === "json" ? "{{json .}}" : format, lookup, known);
  return (thing) => parts.map((part) => typeof part === "string" ? part : part(thing)).join("");
}
