/**
 * Telling archives and directories that hold images from those that hold a file system, by what is in them.
 *
 * @module
 */

import { fileChunks } from "../../tar/chunks.ts";
import { decompress } from "../../tar/decompress.ts";
import { tarReader } from "../../tar/read.ts";

/** Kind of a directory or archive. */
export type Held = "images" | "files";

const MARKS: Readonly<Record<string, string>> = { "oci-layout": "imageLayoutVersion", "manifest.json": '"Layers"' };
const MAX_MARK = 1 << 16;
// Directories that no archive of images has, and nearly every root file system.
const ROOT_FOLDERS = new Set(["bin", "boot", "dev", "etc", "home", "lib", "opt", "proc", "root", "sbin", "usr", "var"]);

async function textOf(path: string): Promise<string> {
  const isFile = await Deno.lstat(path).then((info) => info.isFile, () => false);
  if (!isFile) return "";
  using file = await Deno.open(path);
  const start = new Uint8Array(MAX_MARK), length = await file.read(start) ?? 0;
  return new TextDecoder().decode(start.subarray(0, length));
}

async function heldByFolder(folder: string): Promise<Held> {
  for (const [name, mark] of Object.entries(MARKS)) {
    if ((await textOf(`${folder}/${name}`)).includes(mark)) return "images";
  }
  return "files";
}

async function heldByArchive(path: string, signal?: AbortSignal): Promise<Held> {
  const decoder = new TextDecoder();
  let held: Held | undefined, mark: string | undefined, text = "";
  const reader = tarReader({
    entry({ name, type }) {
      const [top = "", ...rest] = name.split("/").filter((part) => part !== "" && part !== ".");
      mark = type === "file" && rest.length === 0 ? MARKS[top] : undefined;
      text = "";
      if (ROOT_FOLDERS.has(top)) held ??= "files";
    },
    body(part) {
      if (mark !== undefined && text.length < MAX_MARK) text += decoder.decode(part.subarray(0, MAX_MARK));
    },
    end() {
      if (mark !== undefined && text.includes(mark)) held ??= "images";
    },
  });
  for await (const chunk of decompress(fileChunks(path, signal))) {
    reader.push(chunk);
    if (held) return held;
  }
  reader.finish();
  return "files";
}

/**
 * Detects the kind of the directory or archive at `path`. Reads no more of an archive than is needed.
 *
 * @throws {ImageError} if an archive cannot be read as one.
 */
export async function detect(path: string, signal?: AbortSignal): Promise<Held> {
  return (await Deno.stat(path)).isDirectory ? heldByFolder(path) : heldByArchive(path, signal);
}
