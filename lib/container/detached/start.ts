/**
 * Making and starting containers that outlive this process.
 *
 * @module
 */

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
  clearLiveness,
  createContainer,
  freeName,
  handOver,
  readOwnership,
  removeContainer,
} from "../state/ownership.ts";
import { refuseUnseen } from "../state/unseen.ts";
import { SIGKILL } from "../../../ffi/process/process.ts";

/** Options of {@linkcode create} and {@linkcode runDetached}. */
export interface DetachedOptions extends ContainerOptions {
  /** Gives up before the start when aborted. */
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

/** Makes a container's folder and record; it is ours then. */
async function makeFolder({ containers }: Plan, record: ContainerRecord): Promise<void> {
  await freeName(containers, record.name);
  await createContainer(containers, record);
  createState(`${containers}/${record.id}`);
  recordEvent(containers, "create", record);
}

/** Makes the folders of the overlay: what was never started has files, too, to be copied in and out. */
function makeOverlay(folder: string): void {
  for (const path of [`${folder}/upper`, `${folder}/work`]) {
    Deno.mkdirSync(path);
    // Whatever the umask.
    Deno.chmodSync(path, 0o755);
  }
}

/** Takes away what a start that failed has left, but for the folder. */
async function clean(containers: string, record: ContainerRecord): Promise<void> {
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
 * Makes a container that can be started. Returns its id.
 *
 * @throws whatever `run` throws; nothing is left then.
 */
export async function create(
  image: string,
  command: readonly string[],
  options: DetachedOptions = {},
): Promise<string> {
  const { plan, found } = await planDetached(image, command, options);
  try {
    const record = { ...recordOf(plan), cgroups: [], detached: {} };
    await makeFolder(plan, record);
    makeOverlay(`${plan.containers}/${record.id}`);
    clearLiveness(plan.containers, record.id);
    return record.id;
  } finally {
    found.release?.();
  }
}

/**
 * Runs a command in a new container that outlives this process. Returns the container's id when the command has been
 * executed. The options are those of `run` without its streams; what the command writes goes to the container's log.
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
    await makeFolder(plan, { ...record, detached: {} });
    const meanwhile = (): void => void (abandoned = someAbandoned(plan.containers, record.id));
    await startOnNetworks(plan, record, { meanwhile });
  } catch (error) {
    await clean(plan.containers, record).then(() => removeContainer(plan.containers, record)).catch(() => {});
    throw startFailure(plan.containers, record.id, error);
  } finally {
    found.release?.();
  }
  // What others left must not hurt this one; gc says what is wrong with it.
  await reclaimThese(plan.containers, abandoned).catch(() => {});
  return record.id;
}

/** Why a container cannot be started that is somebody's. */
function refusal(containers: string, id: string): ContainerError {
  const record = readRecord(`${containers}/${id}`);
  const status = record ? statusOf(record, readOwnership(containers, id)) : "exited";
  if (status === "running" || status === "restarting") {
    return new ContainerError(`container ${id} cannot be started: it is ${status}`, {
      code: "container-running",
      facts: { id, status },
      hint: `sauropod restart ${id} ends it first`,
    });
  }
  return new ContainerError(`container ${id} cannot be started: another command is starting, ending or removing it`, {
    code: "container-busy",
    facts: { id, status },
    hint: "try again in a moment",
  });
}

/** A container that is ours, to be started, and what its files said before. */
interface ClaimedContainer {
  readonly record: ContainerRecord;
  readonly state: string | undefined;
}

/**
 * Takes a container that does not run, so that nobody else starts it or mounts its files. It is as new then: its record
 * says nothing of an end.
 *
 * @throws {ContainerError} `container-running`, `container-busy`, `container-not-found`.
 */
async function claimStopped(containers: string, id: string): Promise<ClaimedContainer> {
  const folder = `${containers}/${id}`;
  try {
    return await withOfflineContainer(containers, id, (record) => {
      if (!claim(containers, id)) throw refusal(containers, id);
      const state = saveState(folder);
      try {
        const { ended: _ended, countedLate: _late, ...fresh } = record;
        createState(folder);
        writeRecord(folder, fresh);
        return { record, state };
      } catch (error) {
        restore(folder, state, () => writeRecord(folder, record));
        clearLiveness(containers, id);
        throw startFailure(containers, id, error);
      }
    });
  } catch (error) {
    throw error instanceof ContainerError && error.code === "container-running" ? refusal(containers, id) : error;
  }
}

/** What is told of a start that failed: errors of our own as they are, others with what they kept from happening. */
function startFailure(containers: string, id: string, error: unknown): unknown {
  if (error instanceof SauropodError || !(error instanceof Error) || !("code" in error)) return error;
  return new ContainerError(`container ${id} cannot be started: ${error.message}`, {
    code: "containers-unwritable",
    facts: { id, containers },
    hint: `see whether the disk of ${containers} is full`,
    cause: error,
  });
}

/** Makes a container's files say what they said before a start that failed. */
function restore(folder: string, state: string | undefined, write: () => void): void {
  try {
    restoreState(folder, state);
    write();
  } catch {
    // The disk is full: then the new record has not been written either. The error of the start is the one to tell.
  }
}

function imageOf(record: ContainerRecord): Image {
  const { image, imageDigest, id } = record, lower = lowerOf(record);
  for (const folder of lower) {
    try {
      if (Deno.statSync(folder).isDirectory) continue;
    } catch {
      // Said below.
    }
    throw new ImageError(`the image ${image} of container ${id} is gone: there is no ${folder}`, {
      code: "image-gone",
      facts: { id, image, folder },
      hint: "a container needs the image that it was made of; export still works on what it changed",
    });
  }
  const name = image;
  return { name, lower, kind: "stored", ...(imageDigest === undefined ? {} : { digest: imageDigest }) };
}

/** Options of {@linkcode start}. */
export type StartOptions = Pick<ContainerOptions, "images" | "containers"> & Pick<StartHooks, "takeInput">;

/**
 * Starts a container that has been made or has ended, with all that was asked when it was made. It outlives this
 * process. Resolves when the command has been executed, with the number of its process.
 *
 * @throws {ContainerError} `container-not-found`, `container-running`, `container-busy`.
 * @throws {ImageError} `image-gone`.
 * @throws whatever `run` throws. The container is as before then.
 */
export async function start(
  container: string,
  { takeInput, ...options }: StartOptions = {},
): Promise<number> {
  const { containers } = findFolders(options);
  const { id } = findContainer(containers, container);
  refuseUnseen(containers, id, readOwnership(containers, id));
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
    await clean(containers, record);
    restore(folder, state, () => writeWithName(containers, record));
    clearLiveness(containers, id);
    throw startFailure(containers, id, error);
  }
}
