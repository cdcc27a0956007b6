/**
 * The files of an archive or directory that holds images, found by name. Nothing is ever written where a name in an
 * archive says, and no link leads out of it.
 *
 * @module
 */

import { AT_FDCWD, close, openIn, S_IF, statusAt, SystemError } from "../../../ffi/fs/fs.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { type ByteSource, fileChunks } from "../../tar/chunks.ts";
import { checkNesting, MAX_DOCUMENT_BYTES } from "../../oci.ts";
import { tarReader } from "../../tar/read.ts";
import { failedWith, openDirectory } from "../../tar/tree.ts";
import { malformed, tooLarge, unsafeEntry } from "./problems.ts";
import type { Spool, SpooledFile, SpoolWriter } from "./spool.ts";

/** Files by name. */
export interface Contents {
  /** The file of that name, with its digest; undefined if there is none. */
  find(name: string): Promise<SpooledFile | undefined>;
}

const MAX_ENTRIES = 10_000, MAX_BYTES = 2 ** 40, MAX_NAME = 4095, MAX_LINKS = 8;
const OPEN_FILE = flags("O", "RDONLY", "NONBLOCK");

/** Returns a name as an archive may have it, without `.` and empty parts. Throws `archive-unsafe` if it leads out. */
function plainName(name: string): string {
  if (name.startsWith("/")) throw unsafeEntry(name, "begins with a slash");
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw unsafeEntry(name, "climbs out with `..`");
  if (name.length > MAX_NAME || name.includes("\0")) throw unsafeEntry(name, "is no name of a file");
  return parts.join("/");
}

/** Resolves the target of a symbolic link called `name`. */
function linkTarget(name: string, target: string): string {
  if (target === "" || target.startsWith("/")) throw unsafeEntry(name, `links to ${JSON.stringify(target)}`);
  const path = name.split("/").slice(0, -1);
  for (const part of target.split("/")) {
    if (part === "..") {
      if (path.pop() === undefined) throw unsafeEntry(name, "links out of the archive");
    } else if (part !== "" && part !== ".") path.push(part);
  }
  return path.join("/");
}

/** Splits an uncompressed tar archive into files of the spool. */
export async function archiveContents(source: ByteSource, spool: Spool): Promise<Contents> {
  const files = new Map<string, SpooledFile>(), links = new Map<string, string>();
  let writer: SpoolWriter | undefined, name = "", entries = 0, bytes = 0;

  function addLink(target: string): void {
    if (files.has(name) || (links.get(name) ?? target) !== target) throw unsafeEntry(name, "is there twice");
    links.set(name, target);
  }

  function addFile(file: SpooledFile): void {
    // Tools would not agree on which of the two counts.
    const other = links.get(name) ?? files.get(name)?.digest ?? file.digest;
    if (other !== file.digest) throw unsafeEntry(name, "is there twice, with different contents");
    files.set(name, file);
  }

  const reader = tarReader({
    entry(entry) {
      if (++entries > MAX_ENTRIES) throw tooLarge("the number of entries", MAX_ENTRIES);
      name = plainName(entry.name);
      if (entry.type === "directory") return;
      if (name === "") throw unsafeEntry(entry.name, `is the root directory, yet a ${entry.type}`);
      if (entry.type === "symlink") addLink(linkTarget(name, entry.target));
      else if (entry.type === "link") addLink(plainName(entry.target));
      else if (entry.type === "file") writer = spool.create();
      else throw unsafeEntry(entry.name, `is a device or pipe`);
    },
    body: (part) => writer?.write(part),
    end() {
      if (writer) addFile(writer.end());
      writer = undefined;
    },
  });
  try {
    for await (const chunk of source) {
      bytes += chunk.length;
      if (bytes > MAX_BYTES) throw tooLarge("the size of the archive", MAX_BYTES);
      reader.push(chunk);
    }
    reader.finish();
  } finally {
    writer?.close();
  }

  return {
    find(wanted) {
      let at: string | undefined = plainName(wanted);
      for (let i = 0; i <= MAX_LINKS && at !== undefined; i++) {
        const file = files.get(at);
        if (file) return Promise.resolve(file);
        at = links.get(at);
      }
      if (at !== undefined) throw unsafeEntry(wanted, "is a link without an end");
      return Promise.resolve(undefined);
    },
  };
}

function openFile(root: number, name: string): number | undefined {
  try {
    return openIn(root, name, OPEN_FILE);
  } catch (error) {
    if (failedWith(error, "ENOENT", "ENOTDIR")) return undefined;
    if (error instanceof SystemError) throw unsafeEntry(name, `cannot be read: ${error.message}`);
    throw error;
  }
}

/** Returns the files of a directory; those that are asked for are copied to the spool. */
export function folderContents(folder: string, spool: Spool, signal?: AbortSignal): Contents {
  const copies = new Map<string, SpooledFile>();
  return {
    async find(wanted) {
      const name = plainName(wanted), known = copies.get(name);
      if (known) return known;
      const root = openDirectory(AT_FDCWD, Deno.realPathSync(folder));
      let fd: number | undefined;
      try {
        fd = openFile(root, name);
        if (fd === undefined) return undefined;
        if ((statusAt(fd).mode & S_IF.MT) !== S_IF.REG) throw unsafeEntry(name, "is no file");
        const copy = await spool.keep(fileChunks(`/proc/self/fd/${fd}`, signal));
        copies.set(name, copy);
        return copy;
      } finally {
        if (fd !== undefined) close(fd);
        close(root);
      }
    },
  };
}

/** Returns the text of a document; `what` names it in errors. */
export async function readText({ path, size }: SpooledFile, what: string): Promise<string> {
  if (size > MAX_DOCUMENT_BYTES) throw tooLarge(`the size of ${what}`, MAX_DOCUMENT_BYTES);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await Deno.readFile(path));
    checkNesting(text, what);
    return text;
  } catch (error) {
    throw error instanceof TypeError ? malformed(what, "it is not UTF-8") : error;
  }
}

/** Returns the value of a JSON document. */
export async function readJson(file: SpooledFile, what: string): Promise<unknown> {
  const text = await readText(file, what);
  try {
    return JSON.parse(text);
  } catch {
    throw malformed(what, "it is not JSON");
  }
}
