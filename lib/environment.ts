/**
 * Environment variables as users write them.
 *
 * @module
 */

import { InputError, messageOf } from "./errors.ts";

/**
 * Reads an environment file.
 *
 * @throws {InputError} `bad-env-file`, `bad-env`.
 */
export function readEnvFile(path: string): Record<string, string> {
  try {
    return parseEnvFile(Deno.readTextFileSync(path));
  } catch (error) {
    if (error instanceof InputError) throw error;
    throw new InputError(`--env-file ${path}: ${messageOf(error)}`, { code: "bad-env-file", cause: error });
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
