/**
 * A place to unpack in, what is unpacked there, and a look at it.
 *
 * @module
 */

import { AT_FDCWD, close, S_IF, statusAt } from "../../ffi/fs/fs.ts";
import { openDirectory } from "../../lib/tar/tree.ts";
import { unpack, type UnpackOptions } from "../../lib/tar/unpack.ts";
import { output } from "./host_program.ts";
import type { Item } from "./tar.ts";

/** A folder with `root`, to unpack to, and `outside`, which must stay as it is. */
export async function inBox(use: (box: string) => Promise<void>): Promise<void> {
  const box = await Deno.makeTempDir({ prefix: "sauropod-unpack-" });
  try {
    await Deno.mkdir(`${box}/root`);
    await Deno.mkdir(`${box}/outside`, { mode: 0o755 });
    await Deno.writeTextFile(`${box}/outside/secret`, "secret", { mode: 0o600 });
    await use(box);
  } finally {
    await output("chmod", ["-R", "u+rwX", box]);
    await Deno.remove(box, { recursive: true });
  }
}

/** Bytes. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** Unpacks an archive, which comes in pieces of `step` bytes, to a folder. */
export async function unpackTo(folder: string, archive: Bytes, options?: UnpackOptions, step = 4096) {
  const root = openDirectory(AT_FDCWD, folder);
  const chunks = [];
  for (let at = 0; at < archive.length; at += step) chunks.push(archive.slice(at, at + step));
  try {
    return await unpack(chunks, root, options);
  } finally {
    close(root);
  }
}

/** All that a folder holds, one line each: type, mode, owner, size, time, name, target. */
export async function listing(folder: string): Promise<string[]> {
  const format = "%y %m %U %G %T@ %n %p -> %l";
  const files = await output("find", [folder, "!", "-type", "d", "-printf", `%s ${format}\n`]);
  const folders = await output("find", [folder, "-type", "d", "-printf", `${format}\n`]);
  const lines = new TextDecoder().decode(files) + new TextDecoder().decode(folders);
  return lines.replaceAll(folder, "").split("\n").sort();
}

/** What a path is, as one of `S_IF`. */
export function type(path: string): number {
  return statusAt(AT_FDCWD, path).mode & S_IF.MT;
}

/** An entry: a symbolic link. */
export const link = (name: string, target: string): Item => ({ name, type: "2", target });
/** An entry: a hard link. */
export const hard = (name: string, target: string): Item => ({ name, type: "1", target });
/** An entry: a folder. */
export const folder = (name: string): Item => ({ name, type: "5", mode: 0o755 });
/** An entry: a file. */
export const file = (name: string, body = "evil"): Item => ({ name, body });
