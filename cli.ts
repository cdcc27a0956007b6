/**
 * Sauropod's command line. It only wires: words are arranged by `cli/args/normalize.ts`, commands are in `cli/`.
 *
 * @module
 */

import { normalize } from "./cli/args/normalize.ts";
import { translateDockerAlias } from "./cli/args/docker_aliases.ts";
import { FLAG_TABLE, readWords } from "./cli/args/container_flags.ts";
import { exec, EXEC_TABLE } from "./cli/commands/exec.ts";
import { run } from "./cli/commands/run.ts";
import { passedOver } from "./lib/host/folders.ts";

// No literal in the imports: Deno would read all modules behind them at every start. `cli/pack/` names them.
const load = (specifier: string) => import(specifier);
const other = (): Promise<typeof import("./cli/dispatch/main.ts")> => load("./cli/dispatch/main.ts");
const detached = (): Promise<typeof import("./cli/commands/create.ts")> => load("./cli/commands/create.ts");

const TABLES = { run: FLAG_TABLE, create: FLAG_TABLE, fork: FLAG_TABLE, explain: FLAG_TABLE, exec: EXEC_TABLE };

/** Runs one command line and returns its exit code. */
export async function main(words: readonly string[]): Promise<number> {
  try {
    const [name = "--help", ...rest] = words[0] === "__complete"
      ? words
      : normalize(translateDockerAlias(words), TABLES);
    if (!Object.hasOwn(TABLES, name) || rest[0] === "--help") return await (await other()).parse([name, ...rest]);
    if (name === "exec") return await exec(rest);
    const { flags, image: named, command } = readWords(rest, name);
    const image = name === "fork" ? `container:${named}` : named;
    if (name === "explain") return await (await other()).explain(flags, image, command);
    if (name === "create" || flags.detach) return await (await detached()).create(name, flags, image, command);
    const { code, warning } = await run(flags, image, command);
    if (warning !== undefined) (await other()).printError(warning);
    return code;
  } catch (error) {
    return (await other()).report(error, words);
  } finally {
    const untrusted = passedOver();
    if (untrusted && words[0] !== "__complete") (await other()).sayPassedOver(untrusted);
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
