/**
 * Stopping, killing, restarting and removing containers, and waiting for their exit status.
 *
 * @module
 */

import { Fd } from "../../../ffi/fs/fd.ts";
import { AT_FDCWD, openAt, read, seekStart, SystemError } from "../../../ffi/fs/fs.ts";
import { SIGKILL, SIGTERM } from "../../../ffi/process/process.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { removeGroups } from "../../cgroup/remove.ts";
import { ContainerError } from "../../errors.ts";
import { waitUntil } from "../../host/poll.ts";
import { findFolders, type FolderOptions } from "../../host/folders.ts";
import { lazy } from "../../lazy.ts";
import { signalNumber } from "../../host/signals.ts";
import { findEvenDamaged, mendMarks, readOr } from "../state/damaged.ts";
import { busy, notRunning, requireVisibleOwner, stillRunning } from "../state/errors.ts";
import { endContainer, reclaimThese } from "../state/reclaim.ts";
import { findContainer } from "../state/names.ts";
import { isMonitor } from "../state/monitors.ts";
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

/** Options of {@linkcode stop}. */
export interface StopOptions extends FolderOptions {
  /** The signal that asks the container to exit. Default: its stop signal, else SIGTERM. */
  signal?: string | number;
  /** Seconds until the container is killed; negative: never. Default: its stop timeout, else 10. */
  timeout?: number;
}

const STOP_TIMEOUT = 10;
const RELEASE = { timeout: 10_000 };

/** A container that a command acts on, as it was found. */
interface Target {
  readonly containers: string;
  readonly id: string;
  readonly record: ContainerRecord;
  readonly ownership?: Ownership;
  /** Whether the record stands in for a damaged one. */
  readonly damaged: boolean;
}

/** Finds a container. With `forEnd`, one with a damaged record or damaged marks is found, too. */
function find(query: string, options: FolderOptions, forEnd = false): Target {
  const { containers } = findFolders(options);
  const { record, damaged } = forEnd
    ? findEvenDamaged(containers, query)
    : { record: findContainer(containers, query), damaged: false };
  const { id } = record, ownership = forEnd ? mendMarks(containers, id) : readOwnership(containers, id);
  requireVisibleOwner(containers, id, ownership);
  return { containers, id, record, damaged, ...(ownership ? { ownership } : {}) };
}

/** Returns the ownership of a container now, if its owner is alive. */
function liveOwnership({ containers, id }: Target): Ownership | undefined {
  const ownership = readOwnership(containers, id);
  return ownership && ownerIsAlive(ownership) ? ownership : undefined;
}

/** Tells the monitor of a detached container not to restart it. Returns the last process that it has started. */
async function disableRestart(target: Target): Promise<ProcessIdentity | undefined> {
  const { containers, id } = target;
  // A command that is starting or removing it finishes first.
  await waitUntil(() => {
    const ownership = liveOwnership(target);
    return !ownership || ownership.process !== undefined;
  }, RELEASE);
  const owner = readOwnership(containers, id)?.owner;
  if (owner && isMonitor(owner.pid)) await signalProcess(owner, SIGTERM);
  return readOwnership(containers, id)?.process;
}

/** Thaws a paused container, so that it can exit. */
async function thaw({ containers, id, record }: Target): Promise<void> {
  const { cgroups } = readOr(containers, id, record);
  if (cgroups.length === 0) return;
  const { isFrozen, thawGroups } = await lazy.freezer();
  if (isFrozen(cgroups)) thawGroups(cgroups);
}

/** Waits, up to a limit, until the owner of a container has released it, and removes it from its peers on networks. */
async function waitForRelease(target: Target): Promise<void> {
  const { containers, id, record, damaged } = target;
  const { networks = [] } = readOr(containers, id, record);
  const owner = readOwnership(containers, id)?.owner;
  // The caller of an attached one lives on after it has recorded the end.
  if (owner) await waitUntil(() => liveOwnership(target)?.owner.pid !== owner.pid, RELEASE);
  if (networks.length === 0 && !damaged) return;
  const { releaseLeases } = await lazy.networkReserve();
  await releaseLeases([id]);
}

/**
 * Stops a running container: sends it its stop signal, and kills it after the timeout. Does nothing if it does not run.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`.
 * @throws {InputError} for an unknown signal.
 */
export async function stop(container: string, options: StopOptions = {}): Promise<void> {
  const target = find(container, options, true);
  const { record, ownership } = target;
  const signal = signalNumber(options.signal ?? record.options.stopSignal ?? SIGTERM);
  if (!ownership || awaitsCommand(record)) return;
  const process = await disableRestart(target);
  if (process && await signalProcess(process, signal)) {
    await thaw(target);
    const { timeout = record.options.stopTimeout ?? STOP_TIMEOUT } = options;
    const exited = await waitForExit(process, timeout < 0 ? Infinity : timeout * 1000);
    if (!exited) await signalProcess(process, SIGKILL);
  }
  await waitForRelease(target);
}

/**
 * Sends a signal to the first process of a running container. SIGKILL also keeps it from being restarted.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, `container-not-running`.
 * @throws {InputError} for an unknown signal.
 */
export async function kill(
  container: string,
  signal: string | number = "SIGKILL",
  options: FolderOptions = {},
): Promise<void> {
  const target = find(container, options, true);
  const { id, record, ownership } = target;
  const number = signalNumber(signal);
  const status = statusOf(record, ownership);
  const isWaiting = status === "restarting" && number === SIGKILL;
  if ((status !== "running" && !isWaiting) || !ownership?.process) throw notRunning(id, status);
  const process = number === SIGKILL ? await disableRestart(target) : ownership.process;
  const sent = process && await signalProcess(process, number);
  if (!sent && !isWaiting) throw notRunning(id, "exited");
  if (number === SIGKILL) await thaw(target);
}

function openState(path: string): Fd | undefined {
  try {
    return new Fd(openAt(AT_FDCWD, path, flags("O", "RDONLY", "NOFOLLOW", "NONBLOCK")));
  } catch (error) {
    if (error instanceof SystemError) return undefined;
    throw error;
  }
}

function readState({ number }: Fd): string {
  const bytes = new Uint8Array(1024);
  seekStart(number);
  return new TextDecoder().decode(bytes.subarray(0, read(number, bytes)));
}

/** Waits until a container has no living owner. */
async function waitForEnd(target: Target): Promise<void> {
  await waitUntil(async () => {
    const ownership = liveOwnership(target);
    if (!ownership) return true;
    // The caller of an attached one lives on. A command that is starting it finishes soon.
    const holder = isMonitor(ownership.owner.pid) ? ownership.owner : ownership.process;
    if (holder) await waitForExit(holder);
    return false;
  });
}

/** Waits, up to a limit, until the end of a container is recorded, and returns its last record. */
async function waitForRecord({ containers, id }: Target): Promise<ContainerRecord | undefined> {
  let record: ContainerRecord | undefined;
  await waitUntil(async () => {
    record = readRecord(`${containers}/${id}`);
    if (!record || record.ended || !readOwnership(containers, id)) return true;
    // After its monitor was killed, the first command to notice records the end.
    if (isAbandoned(containers, id)) await reclaimThese(containers, [id]);
    return false;
  }, RELEASE);
  return record;
}

/**
 * Looks up a container now, and returns a function that waits until it has exited and will not be restarted, and returns
 * its exit status, even if it is removed meanwhile. Both throw as {@linkcode wait} does. The function must be called once.
 */
export function watchEnd(container: string, options: FolderOptions = {}): () => Promise<number> {
  const target = find(container, options);
  const { containers, id, record: { detached }, ownership } = target;
  // Its directory may be removed at its end; an open file can still be read.
  const opened = detached ? openState(`${containers}/${id}/state`) : undefined;
  return async () => {
    using file = opened;
    await waitForEnd(target);
    const record = await waitForRecord(target);
    const code = record?.ended?.code ?? (file && parseState(() => readState(file)))?.code;
    if (code !== undefined) return code;
    if (record && !ownership) {
      throw new ContainerError(`container ${id} has never been started`, {
        code: "not-started",
        facts: { id },
        hint: `sauropod start ${id}`,
      });
    }
    throw new ContainerError(`exit status of container ${id} unknown: it was removed when it exited`, {
      code: "exit-code-unknown",
      facts: { id },
      hint: "run it detached, or without --rm",
    });
  };
}

/**
 * Waits until a container has exited and will not be restarted, and returns the exit status of its last run.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`; `not-started` if it never ran;
 * `exit-code-unknown` if it was removed when it exited, by the process that ran it.
 */
export async function wait(container: string, options: FolderOptions = {}): Promise<number> {
  return await watchEnd(container, options)();
}

/**
 * Stops a container as {@linkcode stop} does, and starts it again.
 *
 * @throws whatever `stop` and `start` throw.
 */
export async function restart(container: string, options: StopOptions = {}): Promise<void> {
  const { id } = find(container, options);
  await stop(id, options);
  await start(id, options);
}

/** Options of {@linkcode remove}. */
export interface RemoveOptions extends FolderOptions {
  /** Kill the container if it runs. Default: throw an error. */
  force?: boolean;
}

/** Kills all processes of a container, and waits until its owner has released it. */
async function killAll(target: Target): Promise<void> {
  const { containers, id } = target;
  const process = await disableRestart(target);
  const ownership = readOwnership(containers, id);
  const record = readOr(containers, id, target.record);
  if (ownership) await endContainer(containers, record, process ? { ...ownership, process } : ownership);
  await waitForRelease(target);
}

/** Waits until the owner of an exited container has released it. Throws if it runs, or is restarted. */
async function requireExited(target: Target): Promise<void> {
  const { containers, id } = target, hint = "stop it first, or use --force";
  const released = await waitUntil(() => {
    const ownership = liveOwnership(target);
    if (!ownership) return true;
    const record = readRecord(`${containers}/${id}`);
    requireVisibleOwner(containers, id, ownership);
    const status = record ? shownStatusOf(record, ownership) : "exited";
    if (status !== "exited") throw stillRunning("remove", id, status, hint);
    return false;
  }, RELEASE);
  if (!released) throw stillRunning("remove", id, "exiting", hint);
}

/**
 * Removes a container.
 *
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`; `container-running` unless `force`d;
 * `container-busy`.
 */
export async function remove(container: string, options: RemoveOptions = {}): Promise<void> {
  const target = find(container, options, options.force);
  const { containers, id, ownership } = target;
  if (options.force && ownership && awaitsCommand(target.record) && ownerIsAlive(ownership)) {
    const reason = `process ${ownership.owner.pid} has prepared it for a later command`;
    throw busy("remove", id, reason, "wait until that process releases it or exits");
  }
  if (ownership) await (options.force ? killAll(target) : requireExited(target));
  const record = readOr(containers, id, target.record);
  if (readOwnership(containers, id) === undefined) removeGroups(record.cgroups);
  if (await removeContainer(containers, record)) return;
  throw busy("remove", id, "another command is starting or removing it");
}
