/**
 * `sauropod cp` and `sauropod export`.
 *
 * @module
 */

import {
  copyFiles,
  type CopyOptions,
  type CopyResult,
  type FilePlace,
  unpackInto,
  withArchive,
} from "../../lib/container/files/copy.ts";
import { InputError } from "../../lib/errors.ts";
import { findFolders, type FolderOptions } from "../../lib/host/folders.ts";
import { writeOutput } from "../../lib/tar/output_file.ts";
import { formatSize } from "../../lib/text/size.ts";
import { printBytes, printError, showName } from "../output/output.ts";

/** The flags of `cp`. */
export interface CpFlags extends FolderOptions {
  readonly archive?: boolean;
  readonly followLink?: boolean;
  readonly quiet?: boolean;
}

const STREAM = "-", SHOWN = 10;

/** Parses `CONTAINER:PATH`, or a path of this machine: starts with `/` or `.`, or has no colon in its first component. */
export function parsePlace(text: string): FilePlace {
  const [, container, path = ""] = /^([^/.:][^/:]*):(.*)$/s.exec(text) ?? [];
  return container === undefined ? { path: text } : { container, path };
}

function throwInvalid(message: string, code: string, hint?: string): never {
  throw new InputError(message, { code, hint });
}

function report({ entries, bytes, leftOut }: CopyResult, flags: CpFlags): void {
  if (flags.quiet) return;
  if (leftOut.length > 0) {
    const names = leftOut.slice(0, SHOWN).map(showName).join(", ");
    printError(`sauropod: skipped: ${names}${leftOut.length > SHOWN ? ` and ${leftOut.length - SHOWN} more` : ""}`);
  }
  if (Deno.stderr.isTerminal()) {
    printError(`copied ${entries} ${entries === 1 ? "entry" : "entries"}, ${formatSize(bytes)}`);
  }
}

async function toOutput(archive: AsyncIterable<Uint8Array<ArrayBuffer>>): Promise<void> {
  if (Deno.stdout.isTerminal()) {
    throwInvalid("cannot write an archive to a terminal", "bad-target", "redirect the output, or use -o FILE");
  }
  for await (const chunk of archive) printBytes("stdout", chunk);
}

/** Copies files. */
export async function cp(flags: CpFlags, from: string, to: string): Promise<void> {
  const { containers } = findFolders(flags);
  const options: CopyOptions = { archive: flags.archive, followLink: flags.followLink };
  const source = parsePlace(from), target = parsePlace(to);
  if (source.container === undefined && target.container === undefined) {
    throwInvalid(
      `cannot copy ${from} to ${to}: neither is in a container`,
      "no-container",
      "name a container: sauropod cp web:/etc/hosts .",
    );
  }
  if (to === STREAM) return await withArchive(containers, source, options, toOutput);
  const result = from === STREAM
    ? await unpackInto(containers, Deno.stdin.readable, target, options)
    : await copyFiles(containers, source, target, options);
  report(result, flags);
}

/** The flags of `export`. */
export interface ExportFlags extends FolderOptions {
  readonly output?: string;
}

/** Writes the root filesystem of a container as an archive. */
export async function exportContainer(flags: ExportFlags, container: string): Promise<void> {
  const { containers } = findFolders(flags), { output } = flags;
  await withArchive(containers, { container, path: "/" }, { oneMount: true }, async (archive) => {
    if (output === undefined || output === STREAM) return await toOutput(archive);
    await writeOutput(output, async (write) => {
      for await (const chunk of archive) await write(chunk);
    }, { mode: 0o600 });
  });
}
