/**
 * ID files (`--cidfile`, `--iidfile`).
 *
 * @module
 */

import { InputError } from "../errors.ts";
import { reasonOf } from "../host/reason.ts";

/** A file that waits for an id. Without one it is removed at the end of the scope. */
export interface IdFile extends Disposable {
  /** Writes the id. */
  readonly write: (id: string) => void;
}

/**
 * Makes the file `path`, so that it is certain that the id can be told.
 *
 * @throws {InputError} `bad-id-file` if it is there already or cannot be made.
 */
export function openIdFile(path: string): IdFile {
  let written = false, file: Deno.FsFile;
  try {
    file = Deno.openSync(path, { write: true, createNew: true });
  } catch (error) {
    const exists = error instanceof Deno.errors.AlreadyExists;
    throw new InputError(`cannot write --cidfile ${path}: ${exists ? "the file exists" : reasonOf(error, path)}`, {
      code: "bad-id-file",
      facts: { path },
      hint: exists
        ? "remove it if the container that it names is no longer needed"
        : "name a new file, in a folder that this user can write to",
      cause: error,
    });
  }
  return {
    write(id): void {
      file.writeSync(new TextEncoder().encode(id));
      written = true;
    },
    [Symbol.dispose](): void {
      file.close();
      if (!written) Deno.removeSync(path);
    },
  };
}
