/**
 * Root filesystem of a container as one descriptor, running or stopped: `/proc/PID/root`, or a detached mount. Paths are
 * resolved in it by `openIn(root, …)`, never on the host.
 *
 * @module
 */

import { describeErrno } from "../../../ffi/errno.ts";
import { Fd } from "../../../ffi/fs/fd.ts";
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

/** Opens the root of a running container, with its mounts. Returns undefined if it has exited. */
function openRunning(process: ProcessIdentity): number | undefined {
  let fd: number;
  try {
    fd = openAt(AT_FDCWD, `/proc/${process.pid}/root`, ROOT);
  } catch (error) {
    if (failedWith(error, "ENOENT", "ESRCH", "EACCES")) return undefined;
    throw error;
  }
  // The PID may have been reused.
  if (isAlive(process)) return fd;
  close(fd);
}

/** Returns the volumes of a record, without those whose source is gone. */
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
  throw new ContainerError(`cannot mount the root filesystem: ${step.label}: ${describeErrno(errno)}`, {
    code: "view-failed",
    facts: { step: step.label, folder: view.folder },
    hint: "run as root, and check that the directories of the container's image exist",
  });
}

/** Mounts a container's image, without its changes. The caller closes the descriptor. */
export function openImage(folder: string, lower: readonly string[]): number {
  const [only = "/", ...others] = lower;
  // Mounts below the host's root are not part of the image.
  return others.length === 0
    ? openMount(only)
    : mount({ folder, lower, shows: "image", writable: "nothing", volumes: [] });
}

/**
 * Mounts a writable overlay of the directories `lower`, uppermost first, with `upper` and `work` in `folder`, without
 * syncing. The caller closes the descriptor.
 */
export function openDraft(folder: string, lower: readonly string[]): number {
  return mount({ folder, lower, shows: "container", writable: "all", volumes: [], volatile: true });
}

function openStopped(folder: string, record: ContainerRecord, access: "read" | "write"): number {
  const { options } = record, lower = lowerOf(record);
  const writable = access === "read" ? "nothing" : options.readOnly ? "volumes" : "all";
  return mount({ folder, lower, shows: "container", writable, volumes: volumesOf(folder, record) });
}

/** An open root filesystem of a container. */
export interface Root {
  /** A descriptor of its root. */
  readonly fd: number;
  /** Its record. */
  readonly record: ContainerRecord;
}

/**
 * Runs `work` on the root filesystem of the container that `query` names: of a running one as its processes see it, of a
 * stopped one with its volumes; it cannot be started meanwhile.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`; `container-running` while it is starting;
 *   `view-failed`.
 */
export async function withRoot<T>(
  containers: string,
  query: string,
  access: "read" | "write",
  work: (root: Root) => Promise<T>,
): Promise<T> {
  const use = async (fd: number, record: ContainerRecord): Promise<T> => {
    using _ = new Fd(fd);
    return await work({ fd, record });
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
    // It is starting or exiting.
    await sleep(PAUSE_MS);
  }
}
