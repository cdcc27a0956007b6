/**
 * Ending containers from outside, and waiting for their end.
 *
 * @module
 */

import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt, read, seekStart, SystemError } from "../../../ffi/fs/fs.ts";
import { removeGroups } from "../../cgroup/remove.ts";
import { ContainerError } from "../../errors.ts";
import { findFolders, type FolderOptions } from "../../host/folders.ts";
import { lazy } from "../../lazy.ts";
import { signalNumber } from "../../host/signals.ts";
import { findEvenDamaged, mendMarks, readOr } from "../state/damaged.ts";
import { endContainer, reclaimThese } from "../state/reclaim.ts";
import { findContainer } from "../state/names.ts";
import { signalProcess, waitForExit } from "../state/process_handle.ts";
import { shownStatusOf } from "../state/freeze.ts";
import {
  awaitsCommand,
  type ContainerRecord,
  ownerIsAlive,
  type Ownership,
  readRecord,
  statusOf,
} from "../state/record.ts";
import type { ProcessIdentity } from "../../host/process_identity.ts";
import { start } from "./start.ts";
import { parseState } from "../state/monitor_state.ts";
import { isAbandoned, readOwnership, removeContainer } from "../state/ownership.ts";
import { refuseUnseen } from "../state/unseen.ts";
import { SIGKILL, SIGTERM } from "../../../ffi/process/process.ts";

/** Options of {@linkcode stop}. */
export interface StopOptions extends FolderOptions {
  /** The signal that asks it to end. Default: the one that it was made with, else SIGTERM. */
  signal?: string | number;
  /** Seconds after which it is killed; negative: it is not. Default: what it was made with, else 10. */
  timeout?: number;
}

const PATIENCE = 10;
const RELEASE_MS = 10_000, POLL_MS = 5;

interface Found {
  readonly containers: string;
  readonly record: ContainerRecord;
  readonly liveness?: Ownership;
  /** Whether the record only stands for one that is damaged. */
  readonly damaged: boolean;
}

/** Finds a container, to end it also one whose record or marks are damaged. */
function find(query: string, options: FolderOptions, forEnd = false): Found {
  const { containers } = findFolders(options);
  const { record, damaged } = forEnd
    ? findEvenDamaged(containers, query)
    : { record: findContainer(containers, query), damaged: false };
  const { id } = record, liveness = forEnd ? mendMarks(containers, id) : readOwnership(containers, id);
  refuseUnseen(containers, id, liveness);
  return { containers, record, damaged, ...(liveness ? { liveness } : {}) };
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, POLL_MS));

/** Whether a process is the monitor of a container, not a command that starts, finishes or removes it. */
function isMonitor({ pid }: ProcessIdentity): boolean {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/cmdline`).startsWith("sauropod-monitor\0");
  } catch {
    return false;
  }
}

/** Asks the monitor of a detached container not to start it again; returns the last process that it has started. */
async function retire({ containers, record: { id } }: Found): Promise<ProcessIdentity | undefined> {
  // Whoever is just starting it, or removing it, is to be done first.
  const deadline = performance.now() + RELEASE_MS;
  let liveness = readOwnership(containers, id);
  while (liveness && !liveness.process && ownerIsAlive(liveness) && performance.now() < deadline) {
    await pause();
    liveness = readOwnership(containers, id);
  }
  if (liveness && isMonitor(liveness.owner)) await signalProcess(liveness.owner, SIGTERM);
  return readOwnership(containers, id)?.process;
}

/** Lets a paused container run, so that it can be ended. */
async function thaw({ containers, record }: Found): Promise<void> {
  const { cgroups } = readOr(containers, record.id, record);
  if (cgroups.length === 0) return;
  const { isFrozen, thawGroups } = await lazy.freezer();
  if (isFrozen(cgroups)) thawGroups(cgroups);
}

/** Resolves when whoever held a container has let go of it; not for ever. Its siblings on networks forget it. */
async function released({ containers, record, damaged }: Found): Promise<void> {
  const { id, networks = [] } = readOr(containers, record.id, record);
  await awaitRelease(containers, id);
  if (networks.length === 0 && !damaged) return;
  const { releaseLeases } = await lazy.networkReserve();
  await releaseLeases([id]);
}

async function awaitRelease(containers: string, id: string): Promise<void> {
  const liveness = readOwnership(containers, id);
  if (!liveness) return;
  // The end of an attached one is its caller's to write down, who lives on.
  const deadline = performance.now() + RELEASE_MS;
  while (performance.now() < deadline) {
    const now = readOwnership(containers, id);
    if (!now || now.owner.pid !== liveness.owner.pid || !ownerIsAlive(now)) return;
    await pause();
  }
}

/**
 * Ends a running container: asks it to, and kills it if it does not. One that does not run stays as it is.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`.
 * @throws {InputError} for an unknown signal.
 */
export async function stop(container: string, options: StopOptions = {}): Promise<void> {
  const found = find(container, options, true);
  const { record, liveness } = found;
  const signal = signalNumber(options.signal ?? record.options.stopSignal ?? SIGTERM);
  if (!liveness || awaitsCommand(record)) return;
  const process = await retire(found);
  if (process && await signalProcess(process, signal)) {
    await thaw(found);
    const { timeout = record.options.stopTimeout ?? PATIENCE } = options;
    const ended = await waitForExit(process, timeout < 0 ? Infinity : timeout * 1000);
    if (!ended) await signalProcess(process, SIGKILL);
  }
  await released(found);
}

/**
 * Sends a signal to the first process of a running container. After SIGKILL it is not started again.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, `container-not-running`.
 * @throws {InputError} for an unknown signal.
 */
export async function kill(
  container: string,
  signal: string | number = "SIGKILL",
  options: FolderOptions = {},
): Promise<void> {
  const found = find(container, options, true);
  const { record, liveness } = found;
  const number = signalNumber(signal);
  const status = statusOf(record, liveness);
  const notRunning = new ContainerError(`container ${record.id} is not running: it is ${status}`, {
    code: "container-not-running",
    facts: { id: record.id, status },
    hint: "sauropod ps -a shows what it did",
  });
  const isWaiting = status === "restarting" && number === SIGKILL;
  if ((status !== "running" && !isWaiting) || !liveness?.process) throw notRunning;
  const process = number === SIGKILL ? await retire(found) : liveness.process;
  const sent = process && await signalProcess(process, number);
  if (!sent && !isWaiting) throw notRunning;
  if (number === SIGKILL) await thaw(found);
}

function openState(folder: string): Disposable & { read(): string } | undefined {
  let fd: number;
  try {
    fd = openAt(AT_FDCWD, `${folder}/state`, flags("O", "RDONLY", "NOFOLLOW", "NONBLOCK"));
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
  return {
    read: () => {
      const bytes = new Uint8Array(1024);
      seekStart(fd);
      return new TextDecoder().decode(bytes.subarray(0, read(fd, bytes)));
    },
    [Symbol.dispose]: () => close(fd),
  };
}

/** Resolves when nobody who lives has a container any more. */
async function awaitEndOf(containers: string, id: string): Promise<void> {
  for (let now; (now = readOwnership(containers, id)) && ownerIsAlive(now);) {
    // An attached one's caller lives on. Whoever is just starting it is done soon.
    const holder = isMonitor(now.owner) ? now.owner : now.process;
    if (holder) await waitForExit(holder);
    await pause();
  }
}

/**
 * Looks at a container now, and returns what waits until it has ended for good, for its exit code: also if it is removed
 * meanwhile. See {@linkcode wait} for what both throw. To be called once.
 */
export function watchEnd(container: string, options: FolderOptions = {}): () => Promise<number> {
  const { containers, record: { id, detached }, liveness } = find(container, options);
  const folder = `${containers}/${id}`;
  // Its folder may be removed with its end; what is open can still be read.
  const opened = detached ? openState(folder) : undefined;
  return async () => {
    using state = opened;
    await awaitEndOf(containers, id);
    // Nobody has seen the end of one whose monitor was killed. Another command may be about to find it out.
    const deadline = performance.now() + RELEASE_MS;
    let record = readRecord(folder);
    while (record && !record.ended && readOwnership(containers, id) && performance.now() < deadline) {
      if (isAbandoned(containers, id)) await reclaimThese(containers, [id]);
      else await pause();
      record = readRecord(folder);
    }
    const told = state && parseState(state.read);
    const code = record?.ended?.code ?? told?.code;
    if (code !== undefined) return code;
    if (record && !liveness) {
      throw new ContainerError(`container ${id} has never been started`, {
        code: "not-started",
        facts: { id },
        hint: `sauropod start ${id}`,
      });
    }
    throw new ContainerError(`container ${id} was removed at its end: its exit code is not known`, {
      code: "exit-code-unknown",
      facts: { id },
      hint: "run it detached, or without --rm",
    });
  };
}

/**
 * Waits until a container has ended for good, and returns its exit code: that of its last run, if it does not run.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`; `not-started` if it never ran;
 * `exit-code-unknown` if it was removed at its end by the process that ran it.
 */
export async function wait(container: string, options: FolderOptions = {}): Promise<number> {
  return await watchEnd(container, options)();
}

/**
 * Ends a container as {@linkcode stop} does, and starts it again.
 *
 * @throws whatever `stop` and `start` throw.
 */
export async function restart(container: string, options: StopOptions = {}): Promise<void> {
  const { record: { id } } = find(container, options);
  await stop(id, options);
  await start(id, options);
}

/** Options of {@linkcode remove}. */
export interface RemoveOptions extends FolderOptions {
  /** Kill it if it runs. Default: it is an error. */
  force?: boolean;
}

/** Kills all that runs of a container, and waits until whoever held it has let go of it. */
async function end(found: Found): Promise<void> {
  const { containers, record: { id } } = found;
  const process = await retire(found);
  const liveness = readOwnership(containers, id);
  const record = readOr(containers, id, found.record);
  if (liveness) await endContainer(containers, record, process ? { ...liveness, process } : liveness);
  await released(found);
}

/** Waits until whoever held a container that has ended has let go of it. Throws if it runs, or is started again. */
async function awaitEnded({ containers, record: { id } }: Found): Promise<void> {
  const deadline = performance.now() + RELEASE_MS;
  for (let liveness; (liveness = readOwnership(containers, id)) && ownerIsAlive(liveness); await pause()) {
    const record = readRecord(`${containers}/${id}`);
    refuseUnseen(containers, id, liveness);
    const status = record ? shownStatusOf(record, liveness) : "exited";
    if (status === "exited" && performance.now() < deadline) continue;
    throw new ContainerError(`container ${id} is ${status === "exited" ? "just ending" : status}`, {
      code: "container-running",
      facts: { id },
      hint: "end it first, or use --force",
    });
  }
}

/** Refuses one that was made ahead and waits: it ends when whoever made it wants that, or does. */
function refuseAhead({ record, liveness }: Found): void {
  if (!liveness || !awaitsCommand(record) || !ownerIsAlive(liveness)) return;
  const { id } = record, { pid } = liveness.owner;
  throw new ContainerError(`container ${id} cannot be removed: process ${pid} has made it ahead of its command`, {
    code: "container-busy",
    facts: { id, owner: pid },
    hint: "it goes when that process lets go of it, or ends",
  });
}

/**
 * Removes a container.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`; `container-running` unless `force`d;
 * `container-busy`.
 */
export async function remove(container: string, options: RemoveOptions = {}): Promise<void> {
  const found = find(container, options, options.force);
  const { containers, record: { id } } = found;
  if (options.force) refuseAhead(found);
  if (found.liveness) await (options.force ? end(found) : awaitEnded(found));
  const record = readOr(containers, id, found.record);
  if (readOwnership(containers, id) === undefined) removeGroups(record.cgroups);
  if (await removeContainer(containers, record)) return;
  throw new ContainerError(`container ${id} cannot be removed: another command is starting or removing it`, {
    code: "container-busy",
    facts: { id },
    hint: "try again in a moment",
  });
}
