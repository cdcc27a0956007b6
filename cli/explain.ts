/**
 * `sauropod explain`: the program that `run` would run.
 *
 * @module
 */

import { planLaunch } from "../lib/container/launch.ts";
import { prepare } from "../lib/container/prepare.ts";
import { newId } from "../lib/container/store.ts";
import { explain as explainProgram, formatProgram } from "../lib/explain.ts";
import { findFolders } from "../lib/folders.ts";
import { resolveImage } from "../lib/image/resolve.ts";
import type { Context } from "./context.ts";
import { containerOptions } from "./flags.ts";
import type { RunFlags } from "./run.ts";
import { print, printJson } from "./text.ts";

/** The flags of `explain`. */
export interface ExplainFlags extends RunFlags {
  /** Print JSON. */
  readonly json?: boolean;
}

/** Prints the program. */
export async function explain(this: Context, flags: ExplainFlags, image: string, ...command: string[]): Promise<void> {
  const folders = findFolders(flags);
  const id = newId();
  const found = await resolveImage(image, folders.images);
  const spec = await prepare(
    id,
    found,
    command,
    { ...containerOptions(flags, folders), keep: !flags.rm },
    `${folders.containers}/${id}`,
  );
  const terminal = flags.tty ?? Deno.stdin.isTerminal();
  const { program, init } = planLaunch(spec, terminal);
  if (flags.json) {
    return printJson({ id, steps: explainProgram(program), ...(init ? { init: explainProgram(init) } : {}) });
  }
  print(formatProgram(program));
  if (init) print(`\nInit runs this in its child:\n\n${formatProgram(init)}`);
}
