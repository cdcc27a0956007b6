/**
 * Docker's names of commands.
 *
 * @module
 */

import { InputError } from "../../lib/errors.ts";
import { COMMANDS } from "./normalize.ts";
import { UsageError } from "./flag_schema.ts";

/** Docker's names for commands that have another name here. */
export const DOCKER_ALIASES: Readonly<Record<string, readonly string[]>> = {
  build: ["images", "build"],
  history: ["images", "history"],
  import: ["images", "import"],
  load: ["images", "load"],
  pull: ["images", "pull"],
  push: ["images", "push"],
  rmi: ["images", "rm"],
  save: ["images", "save"],
  tag: ["images", "tag"],
  image: ["images"],
  info: ["doctor"],
  version: ["--version"],
};

const LISTS = ["ls", "list"];

/** Unsupported commands of docker, and hints. An image of that name needs `run`. */
const UNSUPPORTED: Readonly<Record<string, string>> = {
  search: "search on the registry's web site",
  system: "use sauropod gc, and sauropod images prune",
  volume: "use directories of this machine (-v ./data:/data), or of the container (-v /data)",
  compose: "start several containers from a script: see examples/",
};

/**
 * Translates a command line that may be docker's.
 *
 * @throws {InputError} `no-command` for an unsupported command.
 * @throws {UsageError}
 */
export function translateDockerAlias(words: readonly string[]): readonly string[] {
  const [first = "", second = "", ...rest] = words;
  if (first === "container") {
    if (LISTS.includes(second)) return ["ps", ...rest];
    if (second === "" || second.startsWith("-") || COMMANDS.has(second)) return words.slice(1);
    throw new UsageError("container", { kind: "unknown-command", name: second, known: [...COMMANDS] });
  }
  if (Object.hasOwn(DOCKER_ALIASES, first)) return [...DOCKER_ALIASES[first] ?? [], ...words.slice(1)];
  if (!Object.hasOwn(UNSUPPORTED, first)) return words;
  throw new InputError(`unknown command "${first}"; to run an image of that name: sauropod run ${first}`, {
    code: "no-command",
    facts: { command: first },
    hint: UNSUPPORTED[first],
  });
}
