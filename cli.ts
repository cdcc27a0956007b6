/**
 * The command line's entry point: normalizes arguments, calls `run` and `exec`, and loads everything else when needed.
 *
 * @module
 */

import { normalize } from "./cli/args/normalize.ts";
import { translateDockerAlias } from "./cli/args/docker_aliases.ts";
import { FLAG_TABLE, readWords } from "./cli/args/container_flags.ts";
import { exec, EXEC_TABLE } from "./cli/commands/exec.ts";
import { run } from "./cli/commands/run.ts";
import { passedOver } from "./lib/host/folders.ts";

// No literal in the imports: Deno would read all modules behind them at every start.
const load = (specifier: string) => import(specifier);
const loadMain = (): Promise<typeof import("./cli/dispatch/main.ts")> => load("./cli/dispatch/main.ts");
const loadCreate = (): Promise<typeof import("./cli/commands/create.ts")> => load("./cli/commands/create.ts");

const TABLES = { run: FLAG_TABLE, create: FLAG_TABLE, fork: FLAG_TABLE, explain: FLAG_TABLE, exec: EXEC_TABLE };

/** Runs one command line. Returns its exit status. */
export async function main(words: readonly string[]): Promise<number> {
  try {
    const [name = "--help", ...rest] = words[0] === "__complete"
      ? words
      : normalize(translateDockerAlias(words), TABLES);
    if (!Object.hasOwn(TABLES, name) || rest[0] === "--help") return await (await loadMain()).parse([name, ...rest]);
    if (name === "exec") return await exec(rest);
    const { flags, image: named, command } = readWords(rest, name);
    const image = name === "fork" ? `container:${named}` : named;
    if (name === "explain") return await (await loadMain()).explain(flags, image, command);
    if (name === "create" || flags.detach) return await (await loadCreate()).create(name, flags, image, command);
    const { code, warning } = await run(flags, image, command);
    if (warning !== undefined) (await loadMain()).printError(warning);
    return code;
  } catch (error) {
    return (await loadMain()).report(error, words);
  } finally {
    const untrusted = passedOver();
    if (untrusted && words[0] !== "__complete") (await loadMain()).warnUntrusted(untrusted);
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
