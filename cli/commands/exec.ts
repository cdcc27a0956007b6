/**
 * `sauropod exec`: a command in a running container.
 *
 * @module
 */

import { exec as start } from "../../lib/container/attached/exec.ts";
import { findFolders } from "../../lib/host/folders.ts";
import { lazy } from "../../lib/lazy.ts";
import { type ContainerFlags, FLAGS } from "../args/container_flags.ts";
import type { FlagTable } from "../args/normalize.ts";
import { many, readFlags, tableOf, UsageError, type ValuesOf, word, yes } from "../args/flag_schema.ts";
import { passSignals } from "../terminal/signals.ts";

/** The flags of `exec`. */
export const EXEC_FLAGS = {
  images: FLAGS.images,
  containers: FLAGS.containers,
  env: many("NAME=VALUE", "Environment variable; NAME alone takes yours"),
  envFile: many("FILE", "File of environment variables"),
  workdir: word("DIR", "Working directory [default: the container's]"),
  user: word("USER[:GROUP]", "User and group, by name or number [default: the container's]"),
  privileged: yes("Grant all capabilities"),
  detach: yes("Run in the background"),
  interactive: yes("Connect standard input"),
  tty: yes("Allocate a terminal"),
} as const;

/** The short forms of {@linkcode EXEC_FLAGS}. */
export const EXEC_SHORT = {
  c: "containers",
  d: "detach",
  e: "env",
  i: "interactive",
  t: "tty",
  u: "user",
  w: "workdir",
} as const;

/** The table of flags that `normalizeArgs` takes. */
export const EXEC_TABLE: FlagTable = tableOf(EXEC_FLAGS, EXEC_SHORT);

async function environment(
  { env = [], envFile = [] }: Pick<ContainerFlags, "env" | "envFile">,
): Promise<Record<string, string>> {
  if (env.length + envFile.length === 0) return {};
  return (await lazy.environment()).readEnvironment(env, envFile);
}

/** Runs a command, given normalized arguments. Returns its exit status. */
export async function exec(words: readonly string[]): Promise<number> {
  const { values: flags, rest: [container, ...command] } = readFlags<ValuesOf<typeof EXEC_FLAGS>>(
    "exec",
    EXEC_FLAGS,
    words,
  );
  if (container === undefined || command.length === 0) {
    throw new UsageError("exec", {
      kind: "missing",
      names: container === undefined ? ["CONTAINER", "COMMAND"] : ["COMMAND"],
    });
  }
  const { connect } = passSignals();
  const { detach = false } = flags;
  const output = detach ? "null" : "inherit";
  const process = await start(container, command, {
    ...findFolders(flags),
    env: await environment(flags),
    cwd: flags.workdir,
    user: flags.user,
    privileged: flags.privileged,
    detach,
    stdin: flags.interactive && !detach ? "inherit" : "null",
    stdout: output,
    stderr: output,
    terminal: Boolean(flags.tty) && !detach,
  });
  if (detach) return 0;
  connect(process);
  const { code } = await process.status;
  return code;
}
