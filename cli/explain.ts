/**
 * `sauropod explain`: the program that `run` would run.
 *
 * @module
 */

import { planLaunch } from "../lib/container/launch.ts";
import type { ContainerOptions } from "../lib/container/options.ts";
import { hostnameOf, prepare } from "../lib/container/prepare.ts";
import { newId } from "../lib/container/store.ts";
import { explain as explainProgram, formatProgram } from "../lib/explain.ts";
import { findFolders } from "../lib/folders.ts";
import { resolveImage } from "../lib/image/resolve.ts";
import { lazy } from "../lib/lazy.ts";
import { requestNetwork } from "../lib/network/request.ts";
import type { ContainerSpec } from "../lib/spec.ts";
import { type ContainerFlags, containerOptions } from "./flags.ts";
import { print, printJson } from "./text.ts";

async function place(
  id: string,
  options: ContainerOptions,
  containers: string,
): Promise<Partial<Pick<ContainerSpec, "network" | "files">>> {
  const request = requestNetwork(options);
  if (request.mode !== "bridge") return {};
  const { planPlace } = await lazy.networkAttach();
  return planPlace({ id, hostname: hostnameOf(id, options), containers, memberships: request.memberships, options });
}

/** Prints the program. Returns the exit code. */
export async function explain(flags: ContainerFlags, image: string, command: readonly string[]): Promise<number> {
  const folders = findFolders(flags);
  const id = newId();
  const found = await resolveImage(image, folders.images);
  const options = { ...await containerOptions(flags, folders), keep: !flags.rm };
  const apart = await prepare(id, found, command, options, `${folders.containers}/${id}`);
  const spec = { ...apart, ...await place(id, options, folders.containers) };
  const { program, init } = planLaunch(spec, flags.tty ?? Deno.stdin.isTerminal());
  if (flags.json) {
    printJson({ id, steps: explainProgram(program), ...(init ? { init: explainProgram(init) } : {}) });
    return 0;
  }
  print(formatProgram(program));
  if (init) print(`\nInit runs this in its child:\n\n${formatProgram(init)}`);
  return 0;
}
