/**
 * `sauropod diff`: changes of a container's filesystem.
 *
 * @module
 */

import { changesOf } from "../../lib/container/files/changes.ts";
import { findFolders, type FolderOptions } from "../../lib/host/folders.ts";
import { printJson, printOut, showName } from "../output/output.ts";

/** The flags of `diff`. */
export interface DiffFlags extends FolderOptions {
  readonly json?: boolean;
}

/** Docker's letters. */
export const LETTERS = { added: "A", changed: "C", deleted: "D" } as const;

/** Prints changes. */
export async function diff(flags: DiffFlags, container: string): Promise<void> {
  const changes = await changesOf(findFolders(flags).containers, container);
  if (flags.json) return printJson(changes);
  printOut(changes.map(({ kind, path }) => `${LETTERS[kind]} ${showName(path)}\n`).join(""));
}
