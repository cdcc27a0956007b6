/**
 * Variables of a Dockerfile: build arguments (ARG), the environment (ENV), and their expansion.
 *
 * @module
 */

import type { Dockerfile, Stage } from "./dockerfile.ts";
import { malformed, type Position } from "./problems.ts";
import { type Settings, variablesOf } from "./settings.ts";
import { expandWord, type Lookup, WordError } from "./words.ts";

/** Variables by name. */
export type Values = Readonly<Record<string, string>>;

/** Sources of the values of ARG. */
export interface Given {
  /** Values given by the user. */
  readonly buildArgs: Values;
  /** The platform and the like. */
  readonly automatic: Values;
}

/** Arguments that need no ARG, and that do not make a step another one. */
export const PROXIES: ReadonlySet<string> = new Set(
  ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"].flatMap((name) => [name, name.toLowerCase()]),
);
/** Replaces the variables of a word; errors tell where it stands. */
export function expandAt(
  at: Position,
  word: string,
  lookup: Lookup,
  escape: string,
  expand: typeof expandWord = expandWord,
): string {
  try {
    return expand(word, lookup, escape);
  } catch (error) {
    throw error instanceof WordError ? malformed(at, error.message) : error;
  }
}

/** Looks a variable up in the first record that has it. */
export function lookupIn(...values: readonly Values[]): Lookup {
  return (name) => values.find((one) => Object.hasOwn(one, name))?.[name];
}

/** Returns the values of the arguments before the first FROM. */
export function globalArgs({ globals, escape }: Dockerfile, { buildArgs, automatic }: Given): Values {
  const values: Record<string, string> = {};
  for (const step of globals) {
    for (const [name, text] of step.args) {
      const value = lookupIn(buildArgs)(name) ??
        (text === undefined ? undefined : expandAt(step, text, lookupIn(values, automatic), escape)) ??
        lookupIn(automatic)(name);
      if (value !== undefined) values[name] = value;
    }
  }
  return values;
}

/** Resolves the image and platform of a FROM. */
export function baseOf(
  { image, platform, ...at }: Stage,
  globals: Values,
  { automatic }: Given,
  escape: string,
): { image: string; platform?: string } {
  const lookup = lookupIn(globals, automatic);
  const name = expandAt(at, image, lookup, escape);
  if (name === "") throw malformed(at, `FROM ${image} names no image`, "an ARG before it needs a default");
  const kind = platform && expandAt(at, platform, lookup, escape);
  return { image: name, ...(kind ? { platform: kind } : {}) };
}

/** Variables of a stage at the step that is being evaluated. */
export interface Variables {
  /** Values of ARG. */
  readonly args: ReadonlyMap<string, string>;
  /** Values of ENV. */
  readonly env: ReadonlyMap<string, string>;
  /** Sets a variable from here on. */
  set(kind: "arg" | "env", name: string, value: string): void;
  /** Returns a function that makes the environment of a command at this step; it is only made on demand, as steps can be many. */
  environment(): () => Values;
}

/** Starts with the variables that a stage inherits. */
export function variablesFrom(inherited: Values, begun: Settings, proxies: Values): Variables {
  const base = { arg: Object.entries(inherited), env: Object.entries(variablesOf(begun)) };
  const args = new Map(base.arg), env = new Map(base.env);
  const changes: { kind: "arg" | "env"; name: string; value: string }[] = [];
  return {
    args,
    env,
    set(kind, name, value) {
      (kind === "arg" ? args : env).set(name, value);
      changes.push({ kind, name, value });
    },
    environment() {
      const { length } = changes;
      return () => {
        const all = { arg: new Map(base.arg), env: new Map(base.env) };
        for (const { kind, name, value } of changes.slice(0, length)) all[kind].set(name, value);
        return { ...proxies, ...Object.fromEntries(all.arg), ...Object.fromEntries(all.env) };
      };
    },
  };
}
