/**
 * What docker calls the commands.
 *
 * @module
 */

import { InputError } from "../../lib/errors.ts";
import { COMMANDS } from "./normalize.ts";
import { UsageError } from "./flag_schema.ts";

/** Docker's words for commands that have others here. */
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

/** Commands of docker's that are none here, and what to do instead. An image of that name is meant only behind `run`. */
const OTHERS: Readonly<Record<string, string>> = {
  search: "the registry's web pages can search",
  system: "sauropod gc takes away what was left, sauropod images prune what no container needs",
  volume: "volumes are folders of this machine (-v ./data:/data), or a container's own (-v /data)",
  compose: "a script can start several containers: see examples/",
};

/** The words for a command line that may be docker's. Throws {@linkcode InputError} `no-command`, or {@linkcode UsageError}, for what is none here. */
export function translateDockerAlias(words: readonly string[]): readonly string[] {
  const [first = "", second = "", ...rest] = words;
  if (first === "container") {
    if (LISTS.includes(second)) return ["ps", ...rest];
    if (second === "" || second.startsWith("-") || COMMANDS.has(second)) return words.slice(1);
    throw new UsageError("container", { kind: "unknown-command", name: second, known: [...COMMANDS] });
  }
  if (Object.hasOwn(DOCKER_ALIASES, first)) return [...DOCKER_ALIASES[first] ?? [], ...words.slice(1)];
  if (!Object.hasOwn(OTHERS, first)) return words;
  throw new InputError(`there is no command ${first}, and for an image of that name write: sauropod run ${first}`, {
    code: "no-command",
    facts: { command: first },
    hint: OTHERS[first],
  });
}
