/**
 * Environment variables as users write them.
 *
 * @module
 */

import { InputError, messageOf } from "./errors.ts";

/**
 * Reads an environment file.
 *
 * @throws {InputError} `bad-env-file`: it cannot be read, is no UTF-8, or has a line that is no variable.
 */
export function readEnvFile(path: string): Record<string, string> {
  try {
    return parseEnvFile(new TextDecoder("utf-8", { fatal: true }).decode(Deno.readFileSync(path)));
  } catch (error) {
    const why = error instanceof TypeError ? "it is not UTF-8 text" : messageOf(error);
    throw new InputError(`--env-file ${path}: ${why}`, { code: "bad-env-file", facts: { path }, cause: error });
  }
}

// `NAME=VALUE`, or `NAME` to take the caller's; empty lines and those that begin with # are skipped.
function parseEnvFile(text: string): Record<string, string> {
  const lines = text.split(/\r?\n/).map((line) => line.trimStart()).filter((line) => line && !line.startsWith("#"));
  return parseEnv(lines);
}

/**
 * Reads `NAME=VALUE` words, or `NAME` to take the caller's value if it has one.
 *
 * @throws {InputError} `bad-env`.
 */
export function parseEnv(words: readonly string[]): Record<string, string> {
  const env: Record<string, string> = {};
  for (const word of words) {
    const at = word.indexOf("=");
    const name = at < 0 ? word : word.slice(0, at);
    if (name === "" || /[\s\0]/.test(name)) {
      throw new InputError(`${JSON.stringify(word)} is not NAME=VALUE`, { code: "bad-env", facts: { value: word } });
    }
    const value = at < 0 ? Deno.env.get(name) : word.slice(at + 1);
    if (value !== undefined) env[name] = value;
  }
  return env;
}
