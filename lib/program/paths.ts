/**
 * Steps that make paths inside the container. They run when the container's root is `/`, so a symbolic link of the
 * image leads only into the image.
 *
 * @module
 */

import { createFile, mkdir } from "../../ffi/calls.ts";
import { type Program, step } from "../../ffi/program.ts";

/** Every folder on the way to `path`, topmost first, and `path` itself. */
export function ancestry(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "");
  return parts.map((_, i) => "/" + parts.slice(0, i + 1).join("/"));
}

/** Makes `path` and the folders above it where they are missing. */
export function makeFolders(path: string): Program {
  return ancestry(path).map((folder) => step(`make ${folder}`, mkdir(folder, 0o755), { ignore: ["EEXIST", "EROFS"] }));
}

/** Makes an empty file at `path`, and the folders above it, where they are missing. */
export function makeFile(path: string): Program {
  const folders = makeFolders(path.slice(0, path.lastIndexOf("/")));
  return [...folders, step(`make ${path}`, createFile(path, 0o644), { ignore: ["EEXIST", "EROFS"] })];
}
