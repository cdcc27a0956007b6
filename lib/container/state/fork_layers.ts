/**
 * What containers had changed when they were forked, in layers that nobody changes any more: `.layers/HEX/diff` in the
 * folder of containers. They belong to the containers whose records name them.
 *
 * @module
 */

import { flags } from "../../../ffi/program/flags.ts";
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

/** Keeps layers that no record names yet from being taken away, until the function that is returned is called. */
export function holdLayers(containers: string): () => void {
  const fd = openLock(containers);
  lock(fd, "shared");
  let held = true;
  return () => {
    if (held) close(fd);
    held = false;
  };
}

/** Makes room for a new layer; returns the path that it is to have, which does not exist. */
export function newLayer(containers: string): string {
  const folder = `${containers}/${FOLDER}/${randomBytes(8).toHex()}`;
  Deno.mkdirSync(folder, { mode: 0o700 });
  return `${folder}/diff`;
}

/** Takes away the layers that belong to no container, unless one is being forked. */
export async function removeStaleLayers(containers: string, records: readonly ContainerRecord[]): Promise<void> {
  const names = namesIn(`${containers}/${FOLDER}`).filter((name) => name !== LOCK);
  if (names.length === 0) return;
  const used = new Set(records.flatMap(({ layers = [] }) => layers));
  const stale = names.filter((name) => !used.has(`${containers}/${FOLDER}/${name}/diff`));
  if (stale.length === 0) return;
  const fd = openLock(containers);
  try {
    if (!lock(fd, "exclusive", false)) return;
    for (const name of stale) await removeTree(`${containers}/${FOLDER}/${name}`);
  } finally {
    close(fd);
  }
}
