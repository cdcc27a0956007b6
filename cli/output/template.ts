/**
 * Templates of `--format`: the subset of docker's Go templates that scripts use.
 *
 * @module
 */

import { InputError } from "../../lib/errors.ts";
import { printable, printableJson } from "../../lib/text/printable.ts";

/** Returns the value of a placeholder `.PATH`, given the parts of the path; undefined if it does not exist. */
export type Lookup<T> = (thing: T, path: readonly string[]) => unknown;

type Part<T> = string | ((thing: T) => string);

// {{.Names}}, {{json .}}, {{.Label "tier"}}
const PLACEHOLDER = /^(json\s+)?\.([\w.-]*)(?:\s+"([^"]*)")?$/;
const ESCAPES: Readonly<Record<string, string>> = { "\\t": "\t", "\\n": "\n" };

function throwUnknown(format: string, placeholder: string, known: string): never {
  throw new InputError(`invalid --format ${JSON.stringify(format)}: unknown placeholder {{${placeholder}}}`, {
    code: "bad-format",
    facts: { format, placeholder },
    hint: `use {{.NAME}} or {{json .NAME}}, where NAME is ${known}`,
  });
}

function show(value: unknown): string {
  if (value === undefined || value === null) return "";
  return typeof value === "object" ? printableJson(value) : printable(String(value));
}

function placeholderIn<T>(format: string, inner: string, lookup: Lookup<T>, known: string): (thing: T) => string {
  const [whole, json, path = "", argument] = PLACEHOLDER.exec(inner) ?? [];
  if (whole === undefined) throwUnknown(format, inner, known);
  const parts = path.split(".").filter((part) => part !== "");
  if (argument !== undefined) parts.push(argument);
  return (thing) => {
    const value = lookup(thing, parts);
    if (value === undefined) throwUnknown(format, inner, known);
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
 * Returns a function that formats a value: text with `{{.PATH}}` and `{{json .PATH}}`, or `json` for the whole value.
 *
 * @param known The known placeholders, for the message.
 * @throws {InputError} `bad-format` for an invalid placeholder; the function throws it for one without a value.
 */
export function parseTemplate<T>(format: string, lookup: Lookup<T>, known: string): (thing: T) => string {
  const parts = partsOf(format === "json" ? "{{json .}}" : format, lookup, known);
  return (thing) => parts.map((part) => typeof part === "string" ? part : part(thing)).join("");
}
