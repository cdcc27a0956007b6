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
import { type ContainerFlags, containerOptions } from "./flags.ts";
import { print, printJson } from "./text.ts";

/** Prints the program. Returns the exit code. */
export async function explain(flags: ContainerFlags, image: string, command: readonly string[]): Promise<number> {
  const folders = findFolders(flags);
  const id = newId();
  const found = await resolveImage(image, folders.images);
  const options = { ...await containerOptions(flags, folders), keep: !flags.rm };
  const spec = await prepare(id, found, command, options, `${folders.containers}/${id}`);
  const { program, init } = planLaunch(spec, flags.tty ?? Deno.stdin.isTerminal());
  if (flags.json) {
    printJson({ id, steps: explainProgram(program), ...(init ? { init: explainProgram(init) } : {}) });
    return 0;
  }
  print(formatProgram(program));
  if (init) print(`\nInit runs this in its child:\n\n${formatProgram(init)}`);
  return 0;
}
