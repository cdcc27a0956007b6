/**
 * Volumes of a container's own, which begin with what its image has at their target: `ID/volumes/NAME`. They are no part
 * of the overlay, and so of no image that is made of the container; they go with it.
 *
 * @module
 */

import { AT_FDCWD, close, openIn } from "../../../ffi/fs/fs.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { ContainerError } from "../../errors.ts";
import { readTree } from "../../tar/read_tree.ts";
import { failedWith, openDirectory } from "../../tar/tree.ts";
import { writeTree } from "../../tar/unpack.ts";
import type { BindMount } from "../../program/spec.ts";
import { ownVolumes } from "../spec/parse.ts";
import { type ContainerRecord, lowerOf } from "../state/record.ts";
import { openImage } from "./rootfs_mount.ts";

const FOLDER = flags("O", "PATH", "DIRECTORY"), USUAL_MODE = 0o755;

/** What the image has at `target`, its symbolic links followed inside of it; undefined if there is nothing. */
function openTarget(root: number, target: string): number | undefined {
  try {
    return openIn(root, target, FOLDER);
  } catch (error) {
    if (failedWith(error, "ENOENT")) return undefined;
    if (!failedWith(error, "ENOTDIR", "ELOOP")) throw error;
    throw new ContainerError(`there can be no volume on ${target}: the image has no folder there`, {
      code: "volume-on-file",
      facts: { target },
      hint: "mount a file there: --volume FILE:TARGET",
    });
  }
}

/** Copies a folder of the image. Its device files are left out: a volume is no place for them. */
async function copyFolder(from: number, source: string): Promise<void> {
  const to = openDirectory(AT_FDCWD, source);
  try {
    await writeTree(readTree(from), to);
  } finally {
    close(to);
  }
}

async function makeVolume(root: number, { source, target }: BindMount): Promise<void> {
  Deno.mkdirSync(source);
  // Whatever the umask.
  Deno.chmodSync(source, USUAL_MODE);
  const from = openTarget(root, target);
  if (from === undefined) return;
  try {
    await copyFolder(from, source);
  } finally {
    close(from);
  }
}

/**
 * Makes the volumes of a new container that are its own.
 *
 * @throws {ContainerError} `volume-on-file`, and what `openImage` and `writeTree` throw.
 */
export async function makeVolumes(folder: string, record: ContainerRecord): Promise<void> {
  const volumes = ownVolumes(record.options.volumes, folder);
  if (volumes.length === 0) return;
  Deno.mkdirSync(`${folder}/volumes`, { mode: 0o700 });
  const root = openImage(folder, lowerOf(record));
  try {
    for (const volume of volumes) await makeVolume(root, volume);
  } finally {
    close(root);
  }
}
