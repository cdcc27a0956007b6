/**
 * Output files that a person names: a file, a link to one, a FIFO, `/dev/null`, `/dev/stdout`.
 *
 * @module
 */

import { InputError } from "../errors.ts";
import { writeAll } from "./chunks.ts";
import { reasonOf } from "../host/reason.ts";
import { randomBytes } from "../../ffi/process/random.ts";

/** Writes bytes, all of them. */
export type Write = (bytes: Uint8Array) => Promise<void>;

/** How an output file is made. */
export interface OutputOptions {
  /** The mode of a new file. Default: 0666 without the umask. */
  readonly mode?: number;
}

/** Opens a new file that will be called `path`. Its directory may take no new names, though the file can be written to. */
async function openTemporary(
  path: string,
  { mode }: OutputOptions,
): Promise<{ name: string; file: Deno.FsFile } | undefined> {
  const name = `${path}.${randomBytes(8).toHex()}.tmp`;
  try {
    return { name, file: await Deno.open(name, { write: true, createNew: true, mode }) };
  } catch {
    // The error is reported when the file itself cannot be opened.
    return undefined;
  }
}

const EXISTING = { write: true, create: true, truncate: true } as const;

async function openExisting(path: string, options: OutputOptions): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path, { ...EXISTING, ...options });
  } catch (error) {
    throw new InputError(`${path}: ${reasonOf(error, path)}`, {
      code: "bad-target",
      facts: { path },
      hint: "name a file that this user can write to",
      cause: error,
    });
  }
}

/**
 * Runs `work` on the output file `path`. A regular file appears whole or not at all, where its directory allows that.
 * Everything else that has the name stays what it is and is written to: a device, a FIFO, the target of a symbolic link.
 *
 * @throws {InputError} `bad-target` if it cannot be opened.
 */
export async function writeOutput(
  path: string,
  work: (write: Write) => Promise<void>,
  options: OutputOptions = {},
): Promise<void> {
  const writeTo = async (opened: Deno.FsFile): Promise<void> => {
    using file = opened;
    await work((bytes) => writeAll(file, bytes));
  };
  const plain = await Deno.lstat(path).then(({ isFile }) => isFile, () => true);
  const temporary = plain ? await openTemporary(path, options) : undefined;
  if (!temporary) return await writeTo(await openExisting(path, options));
  try {
    await writeTo(temporary.file);
    await Deno.rename(temporary.name, path);
  } catch (error) {
    await Deno.remove(temporary.name).catch(() => {});
    throw error;
  }
}
