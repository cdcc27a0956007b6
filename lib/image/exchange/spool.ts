/**
 * Files that are written while their digest is made: in a directory of the store that only this process uses, and that the
 * next command removes if this one is killed.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { AT_FDCWD, close } from "../../../ffi/fs/fs.ts";
import type { ByteSource } from "../../tar/chunks.ts";
import { explainDiskFull } from "../../store/enospc.ts";
import { lockFolder, sweep, TEMPORARY } from "../../store/locked_directory.ts";
import { makeStore, whileHeld } from "../../store/store.ts";
import { removeTree } from "../../tar/tree.ts";

/** A file whose content is known. */
export interface SpooledFile {
  /** Its path. */
  readonly path: string;
  /** The digest of its content. */
  readonly digest: string;
  /** Its size in bytes. */
  readonly size: number;
}

/** A file that is being written. */
export interface SpoolWriter {
  /** Writes the next bytes. */
  write(bytes: Uint8Array<ArrayBuffer>): void;
  /** Ends the input. */
  end(): SpooledFile;
  /** Closes the file if that was not done. */
  close(): void;
}

/** A directory for files that are to become blobs. */
export interface Spool {
  /** The store it belongs to. */
  readonly store: string;
  /** A path for a new file. */
  newPath(): string;
  /** Starts a file. */
  create(): SpoolWriter;
  /** Writes all that comes into a file. */
  keep(source: ByteSource): Promise<SpooledFile>;
}

function startFile(path: string): SpoolWriter {
  const hash = createHash("sha256");
  const file = Deno.openSync(path, { write: true, createNew: true, mode: 0o644 });
  let size = 0, open = true;
  const closeOnce = (): void => {
    if (open) file.close();
    open = false;
  };
  return {
    write(bytes) {
      hash.update(bytes);
      for (let done = 0; done < bytes.length;) done += file.writeSync(bytes.subarray(done));
      size += bytes.length;
    },
    end() {
      closeOnce();
      return { path, digest: `sha256:${hash.digest("hex")}`, size };
    },
    close: closeOnce,
  };
}

function spoolIn(store: string, folder: string): Spool {
  let files = 0;
  const newPath = (): string => `${folder}/${files++}`;
  const create = (): SpoolWriter => startFile(newPath());
  return {
    store,
    newPath,
    create,
    async keep(source) {
      const writer = create();
      try {
        for await (const chunk of source) writer.write(chunk);
        return writer.end();
      } finally {
        writer.close();
      }
    },
  };
}

async function withFolder<T>(store: string, work: (spool: Spool) => Promise<T>): Promise<T> {
  const name = `.${crypto.randomUUID()}${TEMPORARY}`, folder = `${store}/partial/${name}`;
  const locked = await lockFolder(folder, () => false);
  if (locked === undefined) throw new Error(`${folder} cannot be locked`);
  try {
    sweep(`${store}/partial`, name);
    return await work(spoolIn(store, folder));
  } finally {
    removeTree(AT_FDCWD, folder);
    close(locked);
  }
}

/**
 * Runs `work` with a spool, while nothing is pruned from the store. What `work` leaves in the spool is removed.
 *
 * @throws {ImageError} `store-full`, and what `work` throws.
 */
export function withSpool<T>(store: string, work: (spool: Spool) => Promise<T>): Promise<T> {
  return explainDiskFull(store, async () => {
    makeStore(store);
    return await whileHeld(store, "shared", () => withFolder(store, work));
  });
}
