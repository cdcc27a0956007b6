/**
 * Everything but a plain `run`: the other commands, help, completion, and what to say of errors.
 *
 * @module
 */

import { run } from "npm:@stricli/core@1.3.0";
import { app } from "./app.ts";
import { type FlagTable, normalizeOther } from "./argv.ts";
import type { Context } from "./context.ts";
import { explain } from "./explain.ts";
import { kebab } from "./flag.ts";
import { Interrupted, takeUserSignal } from "./signals.ts";
import { exitCodeOf, formatError, print, say } from "./text.ts";

const OWN_ERROR = 125;

/** The words with each flag's value apart, which the parser asks for. */
function spelled(words: readonly string[]): string[] {
  let target: typeof app.root | undefined = app.root;
  let depth = 0;
  while (target && "getRoutingTargetForInput" in target) {
    const next: typeof app.root | undefined = target.getRoutingTargetForInput(words[depth] ?? "");
    if (next) depth++;
    target = next ?? target.getDefaultCommand();
  }
  if (!target) return [...words];
  const { flags = {}, aliases = {} } = target.parameters;
  const kinds = new Map(Object.entries(flags).map(([name, { kind }]) => [kebab(name), kind !== "boolean"]));
  const longs = new Map(Object.entries(aliases).map(([letter, name]) => [letter, kebab(String(name))]));
  const table: FlagTable = { takesValue: (name) => kinds.get(name), long: (letter) => longs.get(letter) };
  return [...words.slice(0, depth), ...normalizeOther(words.slice(depth), table)];
}

/** Runs a command that the parser knows, or prints help. Returns the exit code. */
export async function parse(words: readonly string[]): Promise<number> {
  const process: Context["process"] = {
    stdout: { write: print },
    stderr: { write: (text) => say(text.replace(/\n$/, "")) },
  };
  if (words[0] === "__complete") {
    const { complete } = await import("./complete.ts");
    const proposals = await complete(words.slice(1), { process });
    print(proposals.map(({ word, brief }) => `${word}\t${brief}\n`).join(""));
    return 0;
  }
  // It ends the command, as it does any other, and opens no debugger of Deno's.
  takeUserSignal();
  await run(app, spelled(words), { process });
  const code = Number(process.exitCode ?? 0);
  return code < 0 ? OWN_ERROR : code;
}

/** Says what went wrong. Returns the exit code. */
export function report(error: unknown): number {
  if (error instanceof Interrupted) return error.exitCode;
  // Leaving a scope has failed, too: that hides what it was left for.
  if (error instanceof SuppressedError) return report(error.suppressed);
  say(formatError(error));
  return exitCodeOf(error);
}

export { explain, say };
