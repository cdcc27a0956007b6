/**
 * Read-only layers of forked containers: their changes up to the fork, in `.layers/HEX/diff` in the directory of
 * containers. A layer belongs to all containers whose records name it.
 *
 * @module
 */

import { flags } from "../../../ffi/program/flags.ts";
import { Fd } from "../../../ffi/fs/fd.ts";
import { AT_FDCWD, close, lock, openAt, removeTree } from "../../../ffi/fs/fs.ts";
import { randomBytes } from "../../../ffi/process/random.ts";
import type { ContainerRecord } from "./record.ts";
import { namesIn } from "../../host/sample.ts";

const FOLDER = ".layers", LOCK = ".lock";

function openLock(containers: string): number {
  Deno.mkdirSync(`${containers}/${FOLDER}`, { recursive: true, mode: 0o700 });
  return openAt(
    AT_FDCWD,
    `${containers}/${FOLDER}/${LOCK}`,
    flags("O", "RDWR", "CREAT", "NOFOLLOW", "NONBLOCK"),
    0o600,
  );
}

/** Protects layers that no record names yet from removal, until the returned function is called. */
export function holdLayers(containers: string): () => void {
  const fd = openLock(containers);
  lock(fd, "shared");
  let held = true;
  return () => {
    if (held) close(fd);
    held = false;
  };
}

/** Reserves a new layer and returns its path, which does not exist yet. */
export function newLayer(containers: string): string {
  const folder = `${containers}/${FOLDER}/${randomBytes(8).toHex()}`;
  Deno.mkdirSync(folder, { mode: 0o700 });
  return `${folder}/diff`;
}

/** Removes the layers that belong to no container, unless a container is being forked. */
export async function removeStaleLayers(containers: string, records: readonly ContainerRecord[]): Promise<void> {
  const names = namesIn(`${containers}/${FOLDER}`).filter((name) => name !== LOCK);
  if (names.length === 0) return;
  const used = new Set(records.flatMap(({ layers = [] }) => layers));
  const stale = names.filter((name) => !used.has(`${containers}/${FOLDER}/${name}/diff`));
  if (stale.length === 0) return;
  using file = new Fd(openLock(containers));
  if (!lock(file.number, "exclusive", false)) return;
  for (const name of stale) await removeTree(`${containers}/${FOLDER}/${name}`);
}
