/**
 * Sauropod's command line. It only wires: words are prepared by `cli/argv.ts`, commands are in `cli/`.
 *
 * @module
 */

import { run } from "npm:@stricli/core@1.3.0";
import { app, COMMANDS, RUN_TABLE } from "./cli/app.ts";
import { normalize } from "./cli/argv.ts";
import type { Context } from "./cli/context.ts";
import { print, say } from "./cli/text.ts";

const OWN_ERROR = 125;

/** Runs one command line and returns its exit code. */
async function main(words: readonly string[]): Promise<number> {
  const process: Context["process"] = {
    stdout: { write: print },
    stderr: { write: (text) => say(text.replace(/\n$/, "")) },
  };
  if (words[0] === "__complete") {
    const { complete } = await import("./cli/complete.ts");
    const proposals = await complete(words.slice(1), { process });
    print(proposals.map(({ word, brief }) => `${word}\t${brief}\n`).join(""));
    return 0;
  }
  await run(app, normalize(words, COMMANDS, RUN_TABLE), { process });
  const code = Number(process.exitCode ?? 0);
  return code < 0 ? OWN_ERROR : code;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
