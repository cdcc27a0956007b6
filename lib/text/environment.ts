/**
 * Environment variables from the command line, `NAME=VALUE`.
 *
 * @module
 */

import { InputError } from "../errors.ts";
import { lazy } from "../lazy.ts";

/** Returns the part of an invalid variable that cannot be a secret value. */
export function nameOfVariable(word: string): string {
  return JSON.stringify(`${/^[^=\s\0]*/.exec(word)?.[0] ?? ""}…`);
}

/** Reports whether a word is `NAME=VALUE` or `NAME`. */
export function isVariable(word: string): boolean {
  return /^[^=\s\0]+(=|$)/.test(word);
}

/**
 * Reads `NAME=VALUE` words, or `NAME` to take the caller's value if it has one.
 *
 * @throws {InputError} `bad-env`.
 */
export function parseEnv(words: readonly string[]): Record<string, string> {
  const env: Record<string, string> = {};
  for (const word of words) {
    if (!isVariable(word)) {
      throw new InputError(`invalid variable ${nameOfVariable(word)}: expected NAME=VALUE`, { code: "bad-env" });
    }
    const at = word.indexOf("="), name = at < 0 ? word : word.slice(0, at);
    const value = at < 0 ? Deno.env.get(name) : word.slice(at + 1);
    if (value !== undefined) env[name] = value;
  }
  return env;
}

/**
 * Returns the variables that words and files of words say, words over files.
 *
 * @throws {InputError} `bad-env`, `bad-env-file`.
 */
export async function readEnvironment(
  words: readonly string[],
  files: readonly string[],
): Promise<Record<string, string>> {
  if (files.length === 0) return parseEnv(words);
  const { readEnvFile } = await lazy.environmentFile();
  return Object.assign({}, ...files.map(readEnvFile), parseEnv(words));
}
