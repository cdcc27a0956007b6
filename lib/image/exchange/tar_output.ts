/**
 * Writing tar archives of plain files, the same bytes for the same files.
 *
 * @module
 */

import type { TarEntry } from "../../tar/entry.ts";
import { TAR_END, tarHeader, tarPadding } from "../../tar/write.ts";

type Bytes = Uint8Array<ArrayBuffer>;

/** Takes bytes. */
export type Sink = (bytes: Bytes) => Promise<void>;

const PLAIN = { uid: 0, gid: 0, mtime: 0n, target: "", major: 0, minor: 0, xattrs: new Map() };

/** Writes an archive. */
export interface TarOutput {
  /** Adds a directory; its name ends with a slash. */
  folder(name: string): Promise<void>;
  /** Adds a file of just `size` bytes. */
  file(name: string, size: number, bytes: AsyncIterable<Bytes> | Iterable<Bytes>): Promise<void>;
  /** Writes the end mark. */
  end(): Promise<void>;
}

/** Starts an archive. */
export function tarOutput(sink: Sink): TarOutput {
  const header = (entry: Pick<TarEntry, "name" | "type" | "size" | "mode">): Promise<void> =>
    sink(tarHeader({ ...PLAIN, ...entry }));
  return {
    folder: (name) => header({ name, type: "directory", size: 0, mode: 0o755 }),
    async file(name, size, bytes) {
      await header({ name, type: "file", size, mode: 0o644 });
      for await (const chunk of bytes) await sink(chunk);
      if (size % 512) await sink(tarPadding(size));
    },
    end: () => sink(TAR_END),
  };
}
