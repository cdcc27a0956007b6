/**
 * Sauropod's command line. It only wires: words are prepared by `cli/argv.ts`, commands are in `cli/`.
 *
 * @module
 */

import { normalize } from "./cli/argv.ts";
import type { Context } from "./cli/context.ts";
import { FLAG_TABLE, readWords } from "./cli/flags.ts";

const OWN_ERROR = 125;

/** Runs a command that the parser knows, or prints help. */
async function parse(words: readonly string[]): Promise<number> {
  const [{ run }, { app }, { print, say }] = await Promise.all([
    import("npm:@stricli/core@1.3.0"),
    import("./cli/app.ts"),
    import("./cli/text.ts"),
  ]);
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
  await run(app, words, { process });
  const code = Number(process.exitCode ?? 0);
  return code < 0 ? OWN_ERROR : code;
}

/** Runs one command line and returns its exit code. */
async function main(words: readonly string[]): Promise<number> {
  const [name, ...rest] = words[0] === "__complete" ? words : normalize(words, FLAG_TABLE);
  if ((name !== "run" && name !== "explain") || rest[0] === "--help") return await parse([name ?? "--help", ...rest]);
  try {
    const { flags, image, command } = readWords(rest);
    if (name === "run") return await (await import("./cli/run.ts")).run(flags, image, command);
    await (await import("./cli/explain.ts")).explain(flags, image, command);
    return 0;
  } catch (error) {
    const { exitCodeOf, formatError, say } = await import("./cli/text.ts");
    say(formatError(error));
    return exitCodeOf(error);
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
