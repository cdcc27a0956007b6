/**
 * Messages of usage errors, for all commands alike.
 *
 * @module
 */

import { InputError, messageOf, SauropodError } from "../../lib/errors.ts";
import { COMMANDS } from "../args/normalize.ts";
import { find, usage } from "./dispatch.ts";
import { DOCKER_ALIASES } from "../args/docker_aliases.ts";
import { kebab, type UsageError, type UsageProblem } from "../args/flag_schema.ts";
import { nearest } from "../args/suggest.ts";
import { showName } from "../output/output.ts";

function list(names: readonly string[]): string {
  return names.length < 2 ? names.join() : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

function usageOf(command: string): string {
  return `usage: ${usage(find(command.split(" ")))}`;
}

function example(command: string): string {
  const { target } = find(command.split(" "));
  const line = target.description.split("\n").find((line) => line.includes(`sauropod ${command} `));
  return line === undefined ? usageOf(command) : `for example: ${line.trim()}`;
}

function meant(name: string, known: readonly string[]): string {
  const near = nearest(name, known);
  return near.length === 0 ? "" : `did you mean ${near.join(" or ")}? `;
}

/** Returns the message and the hint. */
function describe(command: string, wrong: UsageProblem, cause: unknown): [message: string, hint: string] {
  switch (wrong.kind) {
    case "unknown-flag": {
      const known = wrong.known.map((name) => `--${kebab(name)}`);
      const all = `run sauropod ${command} --help`;
      return [`unknown flag ${showName(wrong.flag)}`, meant(wrong.flag.replace(/^--?/, "--"), known) + all];
    }
    case "no-value":
      return [`${wrong.flag} requires a value: ${wrong.placeholder}`, wrong.brief];
    case "bad-flag":
      return [
        `invalid ${wrong.flag} ${JSON.stringify(wrong.value)}: ${messageOf(cause)}`,
        cause instanceof SauropodError && cause.hint !== undefined ? cause.hint : wrong.brief,
      ];
    case "bad-word":
      return [`invalid argument ${JSON.stringify(wrong.value)} of ${command}: ${messageOf(cause)}`, usageOf(command)];
    case "missing":
      return [`${command} requires ${list(wrong.names)}`, example(command)];
    case "too-many":
      return [`too many arguments for ${command}: ${JSON.stringify(wrong.value)}`, usageOf(command)];
    case "unknown-command":
      return [
        `unknown command ${JSON.stringify(`${command} ${wrong.name}`)}`,
        `${meant(wrong.name, wrong.known)}run sauropod ${command} --help`,
      ];
  }
}

/** Converts a usage error to one with a message and a hint. */
export function toInputError({ command, wrong, cause }: UsageError): InputError {
  const [message, hint] = describe(command, wrong, cause);
  return new InputError(message, { code: wrong.kind, facts: { command, ...wrong }, hint, cause });
}

/** Adds a suggestion to the error of an unknown image whose name is nearly that of a command. */
export function withSuggestion(error: unknown, [first]: readonly string[]): unknown {
  if (!(error instanceof SauropodError) || error.code !== "image-not-found" || error.facts.name !== first) return error;
  const near = nearest(String(first), [...COMMANDS, ...Object.keys(DOCKER_ALIASES)]);
  if (near.length === 0) return error;
  const { message, code, facts, hint = "" } = error;
  return new SauropodError(message, { code, facts, hint: `did you mean the command ${near.join(" or ")}? ${hint}` });
}
