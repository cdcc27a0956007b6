/**
 * The offline lock: keeps a container from being started while a command works on its files.
 *
 * @module
 */

import { Fd } from "../../../ffi/fs/fd.ts";
import { AT_FDCWD, lock, openAt } from "../../../ffi/fs/fs.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { waitUntil } from "../../host/poll.ts";
import { failedWith } from "../../tar/tree.ts";
import { lazy } from "../../lazy.ts";
import { removedMeanwhile, requireVisibleOwner, stillRunning } from "./errors.ts";
import { type ContainerRecord, readRecord, statusOf } from "./record.ts";
import { readOwnership } from "./ownership.ts";

const POLL_MS = 20;

function openDirectory(path: string, id: string): Fd {
  try {
    return new Fd(openAt(AT_FDCWD, path, flags("O", "RDONLY", "DIRECTORY", "NOFOLLOW")));
  } catch (error) {
    throw failedWith(error, "ENOENT") ? removedMeanwhile(id) : error;
  }
}

async function settled(containers: string, record: ContainerRecord): Promise<ContainerRecord> {
  if (record.forking === undefined) return record;
  const { settleFork } = await lazy.fork();
  return settleFork(containers, record);
}

/**
 * Runs `work` on a container that has exited or was never started, and keeps it from being started meanwhile: only one
 * process at a time may mount its upper directory. `start` holds the same lock until `.live` names the new owner. Waits
 * for other holders. The kernel releases the lock of a process that dies.
 *
 * @throws {ContainerError} `container-running` if it has not exited, `container-not-found` if it was removed.
 */
export async function withOfflineContainer<T>(
  containers: string,
  id: string,
  work: (record: ContainerRecord) => T | Promise<T>,
): Promise<T> {
  const path = `${containers}/${id}`;
  using directory = openDirectory(path, id);
  await waitUntil(() => lock(directory.number, "exclusive", false), { interval: POLL_MS });
  const record = readRecord(path);
  if (!record) throw removedMeanwhile(id);
  const ownership = readOwnership(containers, id), status = statusOf(record, ownership);
  requireVisibleOwner(containers, id, ownership);
  if (!ownership || status === "exited") return await work(await settled(containers, record));
  const shown = status === "created" ? "being started" : status;
  throw stillRunning("mount the files of", id, shown, "try again after it has exited");
}
