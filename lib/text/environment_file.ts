/**
 * Environment files (`--env-file`).
 *
 * @module
 */

import { isVariable, parseEnv } from "./environment.ts";
import { InputError } from "../errors.ts";
import { reasonOf } from "../host/reason.ts";

/**
 * Reads an environment file.
 *
 * @throws {InputError} `bad-env-file`: it cannot be read, is no UTF-8, or has a line that is no variable.
 */
export function readEnvFile(path: string): Record<string, string> {
  try {
    return parseEnvFile(new TextDecoder("utf-8", { fatal: true }).decode(Deno.readFileSync(path)));
  } catch (error) {
    const why = error instanceof TypeError ? "it is not UTF-8 text" : reasonOf(error, path);
    throw new InputError(`cannot read --env-file ${path}: ${why}`, {
      code: "bad-env-file",
      facts: { path },
      hint: "name a file with lines NAME=VALUE",
      cause: error,
    });
  }
}

// `NAME=VALUE`, or `NAME` to take the caller's; empty lines and those that begin with # are skipped.
function parseEnvFile(text: string): Record<string, string> {
  const lines = text.split(/\r?\n/).map((line) => line.trimStart());
  const isMeant = (line: string): boolean => line !== "" && !line.startsWith("#");
  const bad = lines.findIndex((line) => isMeant(line) && !isVariable(line));
  // Nothing of the line is told: it may be the rest of a secret.
  if (bad >= 0) throw new InputError(`invalid line ${bad + 1}: expected NAME=VALUE`, { code: "bad-env" });
  return parseEnv(lines.filter(isMeant));
}
