/**
 * `sauropod run`: a command in a new container, in the foreground.
 *
 * @module
 */

import { runUnless } from "../../lib/container/attached/run.ts";
import type { ContainerOptions } from "../../lib/container/options.ts";
import { findFolders } from "../../lib/host/folders.ts";
import { FORK } from "../../lib/image/resolve.ts";
import type { IdFile } from "../../lib/text/id_file.ts";
import { lazy } from "../../lib/lazy.ts";
import { formatSize } from "../../lib/text/size.ts";
import { type ContainerFlags, containerOptions } from "../args/container_flags.ts";
import { passSignals } from "../terminal/signals.ts";

/** Adds the options of the container to be forked, if `image` names one. */
export async function inheritOptions(
  image: string,
  options: ContainerOptions,
  flags: ContainerFlags,
): Promise<ContainerOptions> {
  if (!image.startsWith(FORK)) return options;
  const { forkOptions } = await lazy.fork();
  return forkOptions(findFolders(flags).containers, image.slice(FORK.length), options);
}

/** Opens the file for the container's ID, if `--cidfile` names one. */
export async function idFileFor({ cidfile }: ContainerFlags): Promise<IdFile | undefined> {
  if (cidfile === undefined) return undefined;
  const { openIdFile } = await lazy.idFile();
  return openIdFile(cidfile);
}

/** Runs the command. Returns its exit status, and a warning for the user. */
export async function run(
  flags: ContainerFlags,
  image: string,
  command: readonly string[],
): Promise<{ code: number; warning?: string }> {
  const options = await inheritOptions(image, await containerOptions(flags, findFolders(flags)), flags);
  const { interrupted, connect } = passSignals();
  using idFile = await idFileFor(flags);
  await using container = await runUnless(interrupted, image, command, {
    ...options,
    keep: !flags.rm,
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
    ...(flags.tty === undefined ? {} : { terminal: flags.tty }),
  });
  connect(container);
  idFile?.write(container.id);
  const { code, oomKilled, memoryLimit } = await container.status;
  if (!oomKilled) return { code };
  const limit = memoryLimit === undefined ? "" : ` at its limit of ${formatSize(memoryLimit)}`;
  return { code, warning: `sauropod: out of memory: the kernel killed a process of the container${limit}` };
}
