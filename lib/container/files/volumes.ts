/**
 * Volumes of a container, in `ID/volumes/NAME`: they start as a copy of the image's content and are removed with the
 * container. They are not part of the overlay, nor of a committed image.
 *
 * @module
 */

import { Fd } from "../../../ffi/fs/fd.ts";
import { AT_FDCWD, openIn } from "../../../ffi/fs/fs.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { ContainerError } from "../../errors.ts";
import { readTree } from "../../tar/read_tree.ts";
import { failedWith, openDirectory } from "../../tar/tree.ts";
import { writeTree } from "../../tar/unpack.ts";
import type { BindMount } from "../../program/spec.ts";
import { ownVolumes } from "../spec/parse.ts";
import { type ContainerRecord, lowerOf } from "../state/record.ts";
import { openImage } from "./rootfs_mount.ts";

const FOLDER = flags("O", "PATH", "DIRECTORY"), DEFAULT_MODE = 0o755;

/** Opens `target` in the image, with symbolic links resolved in it. Returns undefined if it does not exist. */
function openTarget(root: number, target: string): number | undefined {
  try {
    return openIn(root, target, FOLDER);
  } catch (error) {
    if (failedWith(error, "ENOENT")) return undefined;
    if (!failedWith(error, "ENOTDIR", "ELOOP")) throw error;
    throw new ContainerError(`cannot create a volume on ${target}: not a directory in the image`, {
      code: "volume-on-file",
      facts: { target },
      hint: "mount a file with --volume FILE:TARGET",
    });
  }
}

/** Copies a directory of the image, without device files. */
async function copyFolder(from: number, source: string): Promise<void> {
  using to = new Fd(openDirectory(AT_FDCWD, source));
  await writeTree(readTree(from), to.number);
}

async function makeVolume(root: number, { source, target }: BindMount): Promise<void> {
  Deno.mkdirSync(source);
  // Independent of the umask.
  Deno.chmodSync(source, DEFAULT_MODE);
  const from = openTarget(root, target);
  if (from === undefined) return;
  using _ = new Fd(from);
  await copyFolder(from, source);
}

/**
 * Creates the volumes of a new container.
 *
 * @throws {ContainerError} `volume-on-file`, and those of `openImage` and `writeTree`.
 */
export async function makeVolumes(folder: string, record: ContainerRecord): Promise<void> {
  const volumes = ownVolumes(record.options.volumes, folder);
  if (volumes.length === 0) return;
  Deno.mkdirSync(`${folder}/volumes`, { mode: 0o700 });
  using root = new Fd(openImage(folder, lowerOf(record)));
  for (const volume of volumes) await makeVolume(root.number, volume);
}
