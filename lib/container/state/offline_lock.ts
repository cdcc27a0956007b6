/**
 * Keeping a container from being started while something is done with its files.
 *
 * @module
 */

import { AT_FDCWD, close, lock, openAt } from "../../../ffi/fs/fs.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { ContainerError } from "../../errors.ts";
import { failedWith } from "../../tar/tree.ts";
import { lazy } from "../../lazy.ts";
import { type ContainerRecord, readRecord, statusOf } from "./record.ts";
import { readOwnership } from "./ownership.ts";
import { refuseUnseen } from "./unseen.ts";

const POLL_MS = 20;

function notFound(id: string): ContainerError {
  return new ContainerError(`the container ${id} is gone`, { code: "container-not-found", facts: { id } });
}

async function lockFolder(folder: string, id: string): Promise<number> {
  let fd: number;
  try {
    fd = openAt(AT_FDCWD, folder, flags("O", "RDONLY", "DIRECTORY", "NOFOLLOW"));
  } catch (error) {
    throw failedWith(error, "ENOENT") ? notFound(id) : error;
  }
  while (!lock(fd, "exclusive", false)) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  return fd;
}

async function settled(containers: string, record: ContainerRecord): Promise<ContainerRecord> {
  if (record.forking === undefined) return record;
  const { settleFork } = await lazy.fork();
  return settleFork(containers, record);
}

/**
 * Runs `work` on a container that has ended or never was started, and that nobody starts meanwhile: one process at a time mounts its upper
 * folder. Who starts it holds the lock until `.live` says so. Waits for others. The kernel takes the lock from a process
 * that dies.
 *
 * @throws {ContainerError} `container-running` if it has not ended, `container-not-found` if it is gone.
 */
export async function withOfflineContainer<T>(
  containers: string,
  id: string,
  work: (record: ContainerRecord) => T | Promise<T>,
): Promise<T> {
  const folder = `${containers}/${id}`, fd = await lockFolder(folder, id);
  try {
    const record = readRecord(folder);
    if (!record) throw notFound(id);
    const liveness = readOwnership(containers, id), status = statusOf(record, liveness);
    refuseUnseen(containers, id, liveness);
    if (!liveness || status === "exited") return await work(await settled(containers, record));
    throw new ContainerError(`the container ${id} is ${status === "created" ? "being started" : "running"}`, {
      code: "container-running",
      facts: { id, status },
      hint: "try again when it has ended",
    });
  } finally {
    close(fd);
  }
}
