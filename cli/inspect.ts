/**
 * `sauropod inspect`: the records of containers.
 *
 * @module
 */

import { inspectOne } from "../lib/container/list.ts";
import { findFolders, type FolderOptions } from "../lib/folders.ts";
import type { Context } from "./context.ts";
import { printJson } from "./text.ts";

/** Prints what is known of containers. */
export function inspect(this: Context, flags: FolderOptions, ...queries: string[]): void {
  const { containers } = findFolders(flags);
  printJson(queries.map((query) => inspectOne(containers, query)));
}
