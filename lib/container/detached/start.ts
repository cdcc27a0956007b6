/**
 * Creating and starting detached containers: `create`, `run --detach` and `start`.
 *
 * @module
 */

import { SIGKILL } from "../../../ffi/process/process.ts";
import { ContainerError, ImageError, SauropodError } from "../../errors.ts";
import { findFolders } from "../../host/folders.ts";
import { resolveImage } from "../../image/resolve.ts";
import type { Image } from "../../store/image.ts";
import { lazy } from "../../lazy.ts";
import { startDetached, type StartHooks } from "./start_monitor.ts";
import { recordEvent } from "../state/event.ts";
import { reclaimThese, someAbandoned } from "../state/reclaim.ts";
import { findContainer, writeWithName } from "../state/names.ts";
import type { ContainerOptions } from "../options.ts";
import { signalProcess, waitForExit } from "../state/process_handle.ts";
import { networksToRecord, type Plan, planContainer, recordOf, reserveNetworks } from "../spec/plan.ts";
import { checkOptions, prepare } from "../spec/spec.ts";
import { type ContainerRecord, lowerOf, readRecord, statusOf, writeRecord } from "../state/record.ts";
import { checkRestart } from "../state/restart_policy.ts";
import { createState, restoreState, saveState } from "../state/monitor_state.ts";
import { withOfflineContainer } from "../state/offline_lock.ts";
import {
  claim,
  clearOwnership,
  createContainer,
  freeName,
  handOver,
  readOwnership,
  removeContainer,
} from "../state/ownership.ts";
import { busy, requireVisibleOwner, stillRunning } from "../state/errors.ts";

/** Options of {@linkcode create} and {@linkcode runDetached}. */
export interface DetachedOptions extends ContainerOptions {
  /** Cancels the start when aborted. */
  signal?: AbortSignal;
}

function checkDetached(command: readonly string[], options: ContainerOptions): void {
  checkOptions(command, options);
  checkRestart(options.restart, options.keep);
}

async function planDetached(image: string, command: readonly string[], options: DetachedOptions): Promise<{
  plan: Plan<DetachedOptions>;
  found: Image;
}> {
  options.signal?.throwIfAborted();
  checkDetached(command, options);
  const { images, containers } = findFolders(options);
  const found = await resolveImage(image, images, { ...options, containers });
  try {
    const plan = await planContainer(found, command, options, containers);
    options.signal?.throwIfAborted();
    return { plan, found };
  } catch (error) {
    found.release?.();
    throw error;
  }
}

/** Creates the directory and record of a container, and claims it. */
async function createDirectory({ containers }: Plan, record: ContainerRecord): Promise<void> {
  await freeName(containers, record.name);
  await createContainer(containers, record);
  createState(`${containers}/${record.id}`);
  recordEvent(containers, "create", record);
}

/** Creates the directories of the overlay: files can be copied into a container that was never started. */
function makeOverlay(folder: string): void {
  for (const path of [`${folder}/upper`, `${folder}/work`]) {
    Deno.mkdirSync(path);
    // Independent of the umask.
    Deno.chmodSync(path, 0o755);
  }
}

/** Kills the monitor of a start that failed, and removes its control groups. */
async function undoStart(containers: string, record: ContainerRecord): Promise<void> {
  const { id } = record;
  const { cgroups } = readRecord(`${containers}/${id}`) ?? record;
  const owner = readOwnership(containers, id)?.owner;
  if (owner && owner.pid !== Deno.pid && await signalProcess(owner, SIGKILL)) await waitForExit(owner);
  if (cgroups.length === 0) return;
  const { removeGroups } = await lazy.cgroupRemove();
  removeGroups(cgroups);
}

/** Starts a claimed container on its networks. Returns the PID of its first process. */
async function startOnNetworks(plan: Plan, record: ContainerRecord, hooks: StartHooks): Promise<number> {
  const { spec: { id, rootfs: { folder }, cgroups }, containers } = plan;
  using reservation = await reserveNetworks(plan, true);
  const whole = { ...record, ...networksToRecord(reservation), cgroups: cgroups.groups.map(({ path }) => path) };
  const pid = await startDetached(plan, reservation, whole, (complete) => writeWithName(containers, complete), hooks);
  handOver(containers, id);
  reservation?.commit({ process: readOwnership(containers, id)?.owner, hosts: `${folder}/hosts` });
  return pid;
}

/**
 * Creates a container without starting it. Returns its id.
 *
 * @throws whatever `run` throws; nothing is left then.
 */
export async function create(
  image: string,
  command: readonly string[],
  options: DetachedOptions = {},
): Promise<string> {
  const { plan, found } = await planDetached(image, command, options);
  const record = { ...recordOf(plan), cgroups: [], detached: {} };
  try {
    await createDirectory(plan, record);
    makeOverlay(`${plan.containers}/${record.id}`);
    clearOwnership(plan.containers, record.id);
    return record.id;
  } catch (error) {
    await removeContainer(plan.containers, record).catch(() => {});
    throw error;
  } finally {
    found.release?.();
  }
}

/**
 * Runs a command in a new detached container, which outlives this process. Returns the container's id after the command
 * has been executed. Takes the options of `run` without its streams; output goes to the container's log.
 *
 * @throws whatever `run` throws; nothing is left then.
 */
export async function runDetached(
  image: string,
  command: readonly string[],
  options: DetachedOptions = {},
): Promise<string> {
  const { plan, found } = await planDetached(image, command, options);
  const record = recordOf(plan);
  let abandoned: readonly string[] = [];
  try {
    await createDirectory(plan, { ...record, detached: {} });
    const meanwhile = (): void => void (abandoned = someAbandoned(plan.containers, record.id));
    await startOnNetworks(plan, record, { meanwhile });
  } catch (error) {
    await undoStart(plan.containers, record).then(() => removeContainer(plan.containers, record)).catch(() => {});
    throw startFailure(plan.containers, record.id, error);
  } finally {
    found.release?.();
  }
  // Remains of other containers must not fail this one; gc reports what is wrong with them.
  await reclaimThese(plan.containers, abandoned).catch(() => {});
  return record.id;
}

/** Creates the error for a container that cannot be started as another process owns it. */
function startConflict(containers: string, id: string): ContainerError {
  const record = readRecord(`${containers}/${id}`);
  const status = record ? statusOf(record, readOwnership(containers, id)) : "exited";
  return status === "running" || status === "restarting"
    ? stillRunning("start", id, status, `stop it first: sauropod restart ${id}`)
    : busy("start", id, "another command is starting, stopping or removing it");
}

/** A container that this process has claimed to start it, and the monitor state of its last run. */
interface ClaimedContainer {
  readonly record: ContainerRecord;
  readonly state: string | undefined;
}

/**
 * Claims a container that does not run, so that no other process starts it or mounts its files, and resets its record
 * and monitor state.
 *
 * @throws {ContainerError} `container-running`, `container-busy`, `container-not-found`.
 */
async function claimStopped(containers: string, id: string): Promise<ClaimedContainer> {
  const folder = `${containers}/${id}`;
  try {
    return await withOfflineContainer(containers, id, (record) => {
      if (!claim(containers, id)) throw startConflict(containers, id);
      const state = saveState(folder);
      try {
        const { ended: _ended, countedLate: _late, ...fresh } = record;
        createState(folder);
        writeRecord(folder, fresh);
        return { record, state };
      } catch (error) {
        restore(folder, state, () => writeRecord(folder, record));
        clearOwnership(containers, id);
        throw startFailure(containers, id, error);
      }
    });
  } catch (error) {
    throw error instanceof ContainerError && error.code === "container-running" ? startConflict(containers, id) : error;
  }
}

/** Returns the error of a start that failed: a system error is wrapped, any other returned as it is. */
function startFailure(containers: string, id: string, error: unknown): unknown {
  if (error instanceof SauropodError || !(error instanceof Error) || !("code" in error)) return error;
  return new ContainerError(`cannot start container ${id}: ${error.message}`, {
    code: "containers-unwritable",
    facts: { id, containers },
    hint: `check the free space and permissions of ${containers}`,
    cause: error,
  });
}

/** Restores the record and monitor state of a container after a start that failed. */
function restore(folder: string, state: string | undefined, write: () => void): void {
  try {
    restoreState(folder, state);
    write();
  } catch {
    // On a full disk the new record has not been written either. The error of the start is the one to report.
  }
}

function imageOf(record: ContainerRecord): Image {
  const { image, imageDigest, id } = record, lower = lowerOf(record);
  for (const folder of lower) {
    try {
      if (Deno.statSync(folder).isDirectory) continue;
    } catch {
      // Reported below.
    }
    throw new ImageError(`image ${image} of container ${id} not found: no such directory: ${folder}`, {
      code: "image-gone",
      facts: { id, image, folder },
      hint: "restore the image; sauropod export still works on what the container has changed",
    });
  }
  const name = image;
  return { name, lower, kind: "stored", ...(imageDigest === undefined ? {} : { digest: imageDigest }) };
}

/** Options of {@linkcode start}. */
export type StartOptions = Pick<ContainerOptions, "images" | "containers"> & Pick<StartHooks, "takeInput">;

/**
 * Starts a created or exited container, detached, with the options that it was created with. Returns the pid of its
 * first process after the command has been executed.
 *
 * @throws {ContainerError} `container-not-found`, `container-running`, `container-busy`.
 * @throws {ImageError} `image-gone`.
 * @throws whatever `run` throws; the container is left as it was.
 */
export async function start(
  container: string,
  { takeInput, ...options }: StartOptions = {},
): Promise<number> {
  const { containers } = findFolders(options);
  const { id } = findContainer(containers, container);
  requireVisibleOwner(containers, id, readOwnership(containers, id));
  await reclaimThese(containers, [id, ...someAbandoned(containers, id)]);
  const { record, state } = await claimStopped(containers, id);
  const { name, keep, command } = record;
  const folder = `${containers}/${id}`;
  try {
    const asked: ContainerOptions = { ...record.options, keep, ...(name === undefined ? {} : { name }) };
    const image = imageOf(record);
    const spec = await prepare(id, image, command, asked, folder);
    const { ended: _ended, countedLate: _late, ...fresh } = record;
    return await startOnNetworks({ spec, image, containers, options: asked }, fresh, takeInput ? { takeInput } : {});
  } catch (error) {
    await undoStart(containers, record);
    restore(folder, state, () => writeWithName(containers, record));
    clearOwnership(containers, id);
    throw startFailure(containers, id, error);
  }
}
