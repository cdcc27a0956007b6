/**
 * `sauropod create` and `sauropod run --detach`.
 *
 * @module
 */

import { create as createStopped, runDetached } from "../../lib/container/detached/start.ts";
import { findFolders } from "../../lib/host/folders.ts";
import { type ContainerFlags, containerOptions } from "../args/container_flags.ts";
import { idFileFor, inheritOptions } from "./run.ts";
import { passSignals } from "../terminal/signals.ts";
import { printOut } from "../output/output.ts";

/** Creates a container, starts it unless `how` is `create`, and prints its ID. Returns the exit status. */
export async function create(
  how: string,
  flags: ContainerFlags,
  image: string,
  command: readonly string[],
): Promise<number> {
  const { interrupted } = passSignals();
  const options = await inheritOptions(image, await containerOptions(flags, findFolders(flags)), flags);
  const make = how === "create" ? createStopped : runDetached;
  using idFile = await idFileFor(flags);
  const id = await make(image, command, { ...options, keep: !flags.rm, signal: interrupted() });
  idFile?.write(id);
  printOut(id + "\n");
  return 0;
}
