/**
 * COPY and ADD: copies files, and unpacks archives, into a draft of a layer.
 *
 * @module
 */

import { Fd } from "../../ffi/fs/fd.ts";
import { flags } from "../../ffi/program/flags.ts";
import { close, openBelow, openIn, S_IF, statusAt, utimesAt } from "../../ffi/fs/fs.ts";
import { type Copied, placeCopy, type Refusal } from "../container/files/copy_target.ts";
import { openTarget, type Side, type Target } from "../container/files/copy_side.ts";
import { ImageError } from "../errors.ts";
import type { ApplyOptions } from "../tar/apply_entries.ts";
import { fileChunks } from "../tar/chunks.ts";
import { decompress } from "../tar/decompress.ts";
import { lookupUser } from "../image/passwd.ts";
import type { TreePart } from "../tar/read_tree.ts";
import type { TarEntry } from "../tar/entry.ts";
import { tarReader } from "../tar/read.ts";
import { unpack, writeTree } from "../tar/unpack.ts";
import type { Draft } from "./draft.ts";
import type { Copy } from "./instructions.ts";
import { contentOf, type Origin, partsOf, type Source } from "./origin.ts";
import { type Position, wrong } from "./problems.ts";

/** Resolved COPY or ADD. */
export interface CopyTask extends Position, Pick<Copy, "kind" | "target" | "chown" | "chmod"> {
  /** Origin of the files. */
  readonly origin: Origin;
  /** Files to copy. */
  readonly sources: readonly Source[];
  /** Files that stand in the Dockerfile. */
  readonly files: readonly { readonly name: string; readonly text: string }[];
}

/** Ownership of files. */
export interface Owner {
  /** The user's id. */
  readonly uid: number;
  /** The group's id. */
  readonly gid: number;
}

const NO_LIMITS = { entries: Infinity, bytes: Infinity, fileSize: Infinity };
const FOLDER = flags("O", "RDONLY", "DIRECTORY");
const MOST_LOOKED_AT = 1 << 20;
const REFUSALS: Readonly<Record<Refusal, string>> = {
  "no-folder": "there is no such folder",
  "not-a-folder": "it is a file and no folder",
  "special-file": "there is a device, FIFO or socket, which is not replaced",
  "folder-onto-file": "there is a file, and a folder is copied",
};

/** Gives a directory that an archive has no entry for a time that does not depend on when it was unpacked. */
function setTime(top: number, path: string, time: bigint): void {
  using directory = new Fd(openBelow(top, path, FOLDER));
  utimesAt(directory.number, "", time);
}

/** Looks up the user of --chown; a number alone is also the group's. */
export function ownerOf(lower: readonly string[], chown: string | undefined): Owner | undefined {
  if (!chown) return undefined;
  const { uid, gid } = lookupUser(lower, /^\d+$/.test(chown) ? `${chown}:${chown}` : chown);
  return { uid, gid };
}

function pathOf({ fd }: Source): string {
  return `/proc/self/fd/${fd}`;
}

/** Reports whether a file is an archive that ADD unpacks. Throws for an unsupported compression. */
async function isArchive(source: Source): Promise<boolean> {
  if ((statusAt(source.fd).mode & S_IF.MT) !== S_IF.REG) return false;
  let entries = 0, seen = 0;
  const reader = tarReader({ entry: () => void entries++, body: () => {}, end: () => {} });
  try {
    for await (const chunk of decompress(fileChunks(pathOf(source)))) {
      reader.push(chunk);
      if (entries > 0 || (seen += chunk.length) > MOST_LOOKED_AT) break;
    }
    return entries > 0;
  } catch (error) {
    if (!(error instanceof ImageError) || error.code === "archive-unsupported") throw error;
    return false;
  }
}

/** Reports whether files keep their owners: those of an image do, those of the context never. */
function keepsOwners({ origin, chown }: CopyTask): boolean {
  return !origin.isContext && !chown;
}

/** Returns the digests of all that is copied: the same content gives the same. */
export async function contentOfTask(task: CopyTask, signal?: AbortSignal): Promise<string[]> {
  const digests: string[] = [];
  for (const source of task.sources) {
    const name = source.folder ? "" : source.name, parts = partsOf(task, task.origin, source, name);
    digests.push(`${name} ${await contentOf(parts, keepsOwners(task), signal)}`);
  }
  return digests;
}

function* documentParts(text: string, name: string, time: bigint): Generator<TreePart> {
  const bytes = new TextEncoder().encode(text);
  const blank = { target: "", major: 0, minor: 0, xattrs: new Map(), uid: 0, gid: 0 };
  yield { ...blank, name, type: "file", mode: 0o644, size: bytes.length, mtime: time };
  yield bytes;
}

function changeOf(task: CopyTask, owner: Owner): (entry: TarEntry) => TarEntry {
  const { chmod } = task, mode = chmod === undefined ? undefined : parseInt(chmod, 8);
  const owned = keepsOwners(task) ? {} : owner;
  return (entry) => ({ ...entry, ...owned, ...(mode === undefined || entry.type === "symlink" ? {} : { mode }) });
}

/**
 * Copies into a draft.
 *
 * @throws {InputError} for what cannot be put where it is to go, and what unpacking throws.
 */
export async function copyInto(
  task: CopyTask,
  draft: Draft,
  { owner, time, signal }: { owner: Owner; time: bigint; signal?: AbortSignal },
): Promise<void> {
  const { target, origin } = task, change = changeOf(task, owner);
  const side: Side = { open: (path, how) => openIn(draft.top, path, how), where: " in the image" };
  const how: ApplyOptions = { existing: "merge", devices: "create", change, limits: NO_LIMITS };

  /** Opens where something goes. A directory that is missing is made as those on the way to it are. */
  function openPlace(folder: boolean): Target {
    const above = target.replace(/[^/]*\/?$/, ""), path = folder ? target.replace(/(?<=.)\/$/, "") : target;
    close(draft.openFolder(folder || !target.endsWith("/") ? above : target));
    const to = openTarget(side, path);
    if (!folder || to.there !== "nothing") return to;
    close(to.fd);
    close(draft.openFolder(path));
    return openTarget(side, path);
  }

  async function place(copied: Copied, parts: (name: string) => Iterable<TreePart>): Promise<void> {
    const to = openPlace(copied.folder);
    using directory = new Fd(to.fd);
    const placement = placeCopy(copied, to);
    if ("refusal" in placement) {
      throw wrong(task, `nothing can be copied to ${target}: ${REFUSALS[placement.refusal]}`, placement.refusal);
    }
    await writeTree(parts(placement.name), directory.number, how, signal);
  }

  async function unpackAt(source: Source): Promise<void> {
    using directory = new Fd(draft.openFolder(target));
    const owned = task.chown ? { change: (entry: TarEntry) => ({ ...entry, ...owner }) } : {};
    const chunks = decompress(fileChunks(pathOf(source), signal));
    const { implied } = await unpack(chunks, directory.number, { devices: "create", limits: NO_LIMITS, ...owned });
    for (const path of implied) if (path !== "") setTime(directory.number, path, time);
  }

  for (const file of task.files) {
    const copied = { folder: false, name: file.name, contents: false };
    await place(copied, (name) => documentParts(file.text, name, time));
  }
  for (const source of task.sources) {
    const { folder, name } = source;
    if (task.kind === "ADD" && await isArchive(source)) await unpackAt(source);
    else await place({ folder, name, contents: folder }, (name) => partsOf(task, origin, source, name));
  }
}
