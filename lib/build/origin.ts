/**
 * Where COPY takes files from: the context, or the files of a stage or an image. Every path is resolved with the
 * origin's top as root, symbolic links included, so that nothing outside is ever read.
 *
 * @module
 */

import { Fd } from "../../ffi/fs/fd.ts";
import { flags } from "../../ffi/program/flags.ts";
import { AT_FDCWD, close, openIn, readLinkAt, readNames, S_IF, statusAt } from "../../ffi/fs/fs.ts";
import { breather } from "../host/breath.ts";
import { measure } from "../tar/measure.ts";
import { readTree, type TreePart } from "../tar/read_tree.ts";
import { quoteName, type TarEntry } from "../tar/entry.ts";
import { tarHeader } from "../tar/write.ts";
import { failedWith } from "../tar/tree.ts";
import { type Ignored, isPattern, matcherOf, PatternError } from "./pattern.ts";
import { malformed, type Position, wrong } from "./problems.ts";

/** Files to copy from. */
export interface Origin {
  /** A descriptor of the top. */
  readonly top: number;
  /** How messages call it: `the context`. */
  readonly name: string;
  /** Pattern of ignored paths. */
  readonly ignored: Ignored;
  /** Whether it is the build context, whose devices are not copied. */
  readonly isContext: boolean;
}

/** Something to copy. */
export interface Source {
  /** Its path as it was found, for messages. */
  readonly path: string;
  /** Its own name. */
  readonly name: string;
  /** Whether it is a directory. */
  readonly folder: boolean;
  /** Descriptor, open with `O_PATH`; the caller closes it. */
  readonly fd: number;
  /** Its real path in the origin. */
  readonly real: string;
}

const PLACE = flags("O", "PATH"), FOLDER = flags("O", "RDONLY", "DIRECTORY");

function componentsOf(path: string): string[] {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts;
}

function namesAt(top: number, path: string): string[] {
  try {
    using directory = new Fd(openIn(top, path || ".", FOLDER));
    return readNames(directory.number).sort();
  } catch (error) {
    if (failedWith(error, "ENOENT", "ENOTDIR", "ELOOP")) return [];
    throw error;
  }
}

type Breathe = ReturnType<typeof breather>;

/** Returns the paths that a pattern stands for. */
async function expandPattern(top: number, pattern: string, breathe: Breathe): Promise<string[]> {
  let folders = [""];
  for (const part of componentsOf(pattern)) {
    if (!isPattern(part)) {
      folders = folders.map((folder) => joinPath(folder, part));
      continue;
    }
    const matches = matcherOf(part), found: string[] = [];
    for (const folder of folders) {
      for (const name of namesAt(top, folder)) {
        await breathe();
        if (matches(name)) found.push(joinPath(folder, name));
      }
    }
    folders = found;
  }
  return folders;
}

/** Returns the path of an open file below the origin's top. */
function realPath(top: number, fd: number): string {
  const above = readLinkAt(AT_FDCWD, `/proc/self/fd/${top}`).replace(/\/$/, "");
  return readLinkAt(AT_FDCWD, `/proc/self/fd/${fd}`).slice(above.length).replace(/^\//, "");
}

function isLeftOut({ ignored }: Origin, path: string, folder: boolean): boolean {
  return path !== "" && ignored.has(path) && !(folder && ignored.exceptions);
}

function open(origin: Origin, path: string): Source | "ignored" | undefined {
  const { top } = origin;
  let fd: number;
  try {
    fd = openIn(top, path || ".", PLACE);
  } catch (error) {
    if (failedWith(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
  const folder = (statusAt(fd).mode & S_IF.MT) === S_IF.DIR, real = realPath(top, fd);
  if (!isLeftOut(origin, path, folder) && !isLeftOut(origin, real, folder)) {
    return { path, name: componentsOf(path).at(-1) ?? "", folder, fd, real };
  }
  close(fd);
  return "ignored";
}

async function findOne(
  at: Position,
  origin: Origin,
  pattern: string,
  found: Source[],
  breathe: Breathe,
): Promise<void> {
  const wild = isPattern(pattern), before = found.length;
  let ignored = false;
  for (const path of await expandPattern(origin.top, pattern, breathe)) {
    await breathe();
    const source = open(origin, path);
    if (source === "ignored") ignored = true;
    else if (source) found.push(source);
  }
  if (found.length > before || wild && !ignored) return;
  const why = ignored ? "is left out by .dockerignore" : `is not in ${origin.name}`;
  const hint = ignored
    ? "a line with ! takes it back"
    : "paths begin at its top; links are followed inside it, never out of it";
  throw wrong(at, `${quoteName(pattern)} ${why}`, "file-not-found", hint);
}

/**
 * Opens all that `patterns` name; the caller closes the descriptors.
 *
 * @throws {InputError} `file-not-found`, and `bad-dockerfile` for a pattern that cannot be read.
 */
export async function findSources(
  at: Position,
  origin: Origin,
  patterns: readonly string[],
  signal?: AbortSignal,
): Promise<Source[]> {
  const found: Source[] = [], breathe = breather(signal);
  try {
    for (const pattern of patterns) await findOne(at, origin, pattern, found, breathe);
    if (found.length > 0 || patterns.length === 0) return found;
    throw wrong(at, `nothing in ${origin.name} is called ${patterns.join(" ")}`, "file-not-found");
  } catch (error) {
    for (const { fd } of found) close(fd);
    throw error instanceof PatternError ? malformed(at, error.message) : error;
  }
}

function joinPath(folder: string, name: string): string {
  return [folder, name].filter(Boolean).join("/");
}

/** Returns the entries without directories that are left out except something in them, unless there is something. */
function* withoutEmptied(parts: Iterable<TreePart>, isLeftOut: (path: string) => boolean): Generator<TreePart> {
  let pending: TarEntry[] = [];
  for (const part of parts) {
    if (part instanceof Uint8Array) {
      yield part;
      continue;
    }
    pending = pending.filter(({ name }) => part.name.startsWith(name));
    if (part.type === "directory" && isLeftOut(part.name.replace(/\/$/, ""))) {
      pending.push(part);
      continue;
    }
    yield* pending;
    pending = [];
    yield part;
  }
}

/** Returns a source and all that is in it, called `name`; without a name it is its content. */
export function partsOf(at: Position, origin: Origin, source: Source, name: string): Iterable<TreePart> {
  const { ignored, isContext } = origin;
  const within = (path: string): string => {
    const below = name === "" ? path.replace(/^\.\//, "") : path.slice(name.length + 1);
    return joinPath(source.real, below);
  };
  const parts = readTree(source.fd, {
    name,
    omit(_, status, parent, path) {
      const type = status.mode & S_IF.MT, real = within(path);
      if (parent && isLeftOut(origin, real, type === S_IF.DIR)) return true;
      if (!isContext || type !== S_IF.CHR && type !== S_IF.BLK) return false;
      throw wrong(
        at,
        `${quoteName(real)} of ${origin.name} is a device`,
        "device-in-context",
        "name it in .dockerignore",
      );
    },
  });
  return ignored.exceptions
    ? withoutEmptied(parts, (path) => path !== "." && path !== name && ignored.has(within(path)))
    : parts;
}

/**
 * Returns the digest of what is copied: of names, kinds, modes, attributes and content, of `owners` if they count, and not of
 * times. Now and then the thread's other work has its turn.
 */
export async function contentOf(parts: Iterable<TreePart>, owners: boolean, signal?: AbortSignal): Promise<string> {
  const measured = measure(), uncounted = owners ? { mtime: 0n } : { uid: 0, gid: 0, mtime: 0n };
  const breathe = breather(signal);
  for (const part of parts) {
    measured.add(part instanceof Uint8Array ? part : tarHeader({ ...part, ...uncounted }));
    await breathe();
  }
  return measured.result().digest;
}
