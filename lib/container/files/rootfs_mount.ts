/**
 * The files of a container behind one descriptor, whether it runs or not. Nothing in it is ever resolved as a path of
 * the host: what `openIn(root, …)` opens lies in the container, whatever it does meanwhile.
 *
 * @module
 */

import { describeErrno } from "../../../ffi/errno.ts";
import { execute } from "../../../ffi/program/execute.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt, openMount } from "../../../ffi/fs/fs.ts";
import { reapNow } from "../../../ffi/process/process.ts";
import { ContainerError, InputError } from "../../errors.ts";
import { sleep } from "../../host/poll.ts";
import { failedWith } from "../../tar/tree.ts";
import { compileView, VIEW, type View } from "../../program/detached_mount.ts";
import type { BindMount } from "../../program/spec.ts";
import { findContainer } from "../state/names.ts";
import { parseMounts } from "../spec/parse.ts";
import { type ContainerRecord, lowerOf, statusOf } from "../state/record.ts";
import { isAlive, type ProcessIdentity } from "../../host/process_identity.ts";
import { withOfflineContainer } from "../state/offline_lock.ts";
import { readOwnership } from "../state/ownership.ts";
import { requireVisibleOwner } from "../state/errors.ts";

const ROOT = flags("O", "PATH", "DIRECTORY");
const ATTEMPTS = 50, PAUSE_MS = 20;

/** The root of a running container, with all that is mounted in it; undefined if it has ended. */
function openRunning(process: ProcessIdentity): number | undefined {
  let fd: number;
  try {
    fd = openAt(AT_FDCWD, `/proc/${process.pid}/root`, ROOT);
  } catch (error) {
    if (failedWith(error, "ENOENT", "ESRCH", "EACCES")) return undefined;
    throw error;
  }
  // Its number could be another process's by now.
  if (isAlive(process)) return fd;
  close(fd);
}

/** Volumes as they are on the host today; those whose source is gone are left out. */
function volumesOf(folder: string, { options }: ContainerRecord): BindMount[] {
  return (options.volumes ?? []).flatMap((volume) => {
    try {
      return parseMounts([volume], [], folder).filter((mount) => mount.kind === "bind");
    } catch (error) {
      if (error instanceof InputError) return [];
      throw error;
    }
  });
}

function mount(view: View): number {
  const outcome = execute(compileView(view), [VIEW.pidfd, VIEW.tree]);
  if (outcome.ok) {
    reapNow(outcome.registers.get(VIEW.pidfd) ?? -1);
    return outcome.registers.get(VIEW.tree) ?? -1;
  }
  const { step, errno } = outcome;
  throw new ContainerError(`the files of a container cannot be shown: ${step.label}: ${describeErrno(errno)}`, {
    code: "view-failed",
    facts: { step: step.label, folder: view.folder },
    hint: "it needs root, and the folders of the container's image as they were",
  });
}

/** What a container's image holds, without what it has changed; a descriptor for the caller to close. */
export function openImage(folder: string, lower: readonly string[]): number {
  const [only = "/", ...others] = lower;
  // What is mounted below the host's root is no part of the image.
  return others.length === 0
    ? openMount(only)
    : mount({ folder, lower, shows: "image", writable: "nothing", volumes: [] });
}

/**
 * Files that can be changed: the folders `lower`, uppermost first, and on them what is in `folder`, in `upper` beside an
 * empty `work`. A descriptor for the caller to close; nothing waits until it is on disk.
 */
export function openDraft(folder: string, lower: readonly string[]): number {
  return mount({ folder, lower, shows: "container", writable: "all", volumes: [], volatile: true });
}

function openStopped(folder: string, record: ContainerRecord, access: "read" | "write"): number {
  const { options } = record, lower = lowerOf(record);
  const writable = access === "read" ? "nothing" : options.readOnly ? "volumes" : "all";
  return mount({ folder, lower, shows: "container", writable, volumes: volumesOf(folder, record) });
}

/** The files of a container, while they can be used. */
export interface Root {
  /** A descriptor of its top. */
  readonly fd: number;
  /** Its record. */
  readonly record: ContainerRecord;
}

/**
 * Runs `work` on the files of the container that `query` names. One that runs shows what its processes see; one that
 * does not run shows its root and volumes, and cannot be started meanwhile.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`; `container-running` if it is just being started;
 *   `view-failed`.
 */
export async function withRoot<T>(
  containers: string,
  query: string,
  access: "read" | "write",
  work: (root: Root) => Promise<T>,
): Promise<T> {
  const use = async (fd: number, record: ContainerRecord): Promise<T> => {
    try {
      return await work({ fd, record });
    } finally {
      close(fd);
    }
  };
  for (let tries = 0;; tries++) {
    const record = findContainer(containers, query), { id } = record;
    const liveness = readOwnership(containers, id), status = statusOf(record, liveness);
    requireVisibleOwner(containers, id, liveness);
    if (status === "running" && liveness?.process) {
      const fd = openRunning(liveness.process);
      if (fd !== undefined) return await use(fd, record);
    } else if (!liveness || status === "exited" || tries === ATTEMPTS) {
      const open = (stopped: ContainerRecord): number => openStopped(`${containers}/${id}`, stopped, access);
      return await withOfflineContainer(containers, id, (stopped) => use(open(stopped), stopped));
    }
    // It is being started, or ends right now.
    await sleep(PAUSE_MS);
  }
}
