/**
 * Running a command in a container and holding on to it until it ends.
 *
 * @module
 */

import { type Ending, reap, sendSignal } from "../../ffi/process.ts";
import { ContainerError, InputError } from "../errors.ts";
import { lazy } from "../lazy.ts";
import { now } from "../clock.ts";
import { findFolders, type Folders } from "../folders.ts";
import { type Image, resolveImage } from "../image/resolve.ts";
import type { Attachment, Place } from "../network/attach.ts";
import type { PublishedPort } from "../network/ports.ts";
import { signalNumber } from "../signals.ts";
import type { ContainerSpec } from "../spec.ts";
import { Child, type CommandStatus, type Written } from "./child.ts";
import type { ExecOptions, ExecProcess } from "./exec.ts";
import { kill as killLaunched, launch, type Launched } from "./launch.ts";
import { recordEvent } from "./event.ts";
import { inPlace, type Plan, planContainer, recordOf, specIn } from "./plan.ts";
import { checkOptions } from "./prepare.ts";
import type { ContainerOptions } from "./options.ts";
import { type ContainerRecord, markProcess, type ProcessMark, readRecord, withRecord, writeRecord } from "./record.ts";
import {
  abandonedIds,
  clearLiveness,
  createContainer,
  removeContainer,
  removeOwn,
  SAMPLE,
  setProcess,
} from "./store.ts";
import { connect, type StreamOptions, type Streams } from "./streams.ts";

/** Options of {@linkcode run}. */
export interface RunOptions extends ContainerOptions, StreamOptions {
  /** Gives up before the start, or kills the container with SIGKILL, when aborted. */
  signal?: AbortSignal;
}

/** How a container ended. */
export interface RunStatus extends CommandStatus {
  /** Whether the kernel killed a process of the container for lack of memory. */
  readonly oomKilled: boolean;
  /** The limit on its memory in bytes at which that happened. Default: none. */
  readonly memoryLimit?: number;
}

/** How a container ended and what it wrote, in the shape of `Deno.CommandOutput`. */
export type RunOutput = RunStatus & Written;

/**
 * A running container, in the shape of `Deno.ChildProcess`. `await using` kills it at the end of the scope if it still
 * runs; the kernel kills it if this process dies.
 */
export interface Container extends Child<RunStatus>, AsyncDisposable {
  /** Twelve hexadecimal digits. */
  readonly id: string;
  /** Its name, if it was given one. */
  readonly name?: string;
  /** Its places on bridged networks, with its addresses. */
  readonly networks: readonly Attachment[];
  /** Its published ports. */
  readonly ports: readonly PublishedPort[];
  /** Runs one more command in it; see `exec`. */
  exec(command: readonly string[], options?: ExecOptions): Promise<ExecProcess>;
}

const SIGKILL = 9;
const reclaimed = new Set<string>();

/** A container that runs. */
interface Started {
  readonly launched: Launched;
  readonly streams: Streams;
  readonly spec: ContainerSpec;
  readonly record: ContainerRecord;
  /** Lets go of its published ports. */
  readonly release: () => void;
}

async function removeGroups(record: ContainerRecord): Promise<void> {
  if (record.cgroups.length === 0) return;
  const { removeGroups } = await lazy.cgroupRemove();
  removeGroups(record.cgroups);
}

async function ranOutOfMemory({ cgroups }: ContainerRecord): Promise<boolean> {
  if (cgroups.length === 0) return false;
  const { ranOutOfMemory } = await lazy.cgroupUsage();
  return ranOutOfMemory(cgroups);
}

/**
 * The record of a container that has ended, with the groups and limits that it got while it ran. It gets no more: who
 * has the lock next sees that it has ended.
 */
function lastRecord(folder: string, record: ContainerRecord): ContainerRecord {
  try {
    return withRecord(folder, (current) => current) ?? record;
  } catch (error) {
    if (error instanceof ContainerError) return record;
    throw error;
  }
}

/** What a v1 group has frozen dies only when it runs again. */
async function thawKilled(folder: string): Promise<void> {
  const cgroups = readRecord(folder)?.cgroups ?? [];
  if (cgroups.length === 0) return;
  const { thawGroups } = await lazy.freezer();
  thawGroups(cgroups);
}

/** Makes the container, or leaves nothing of it. */
async function make(
  plan: Plan<RunOptions>,
  place?: Place,
): Promise<{ made: Started; process: ProcessMark | undefined }> {
  const { containers, options } = plan;
  const spec = specIn(plan, place);
  const record = recordOf(plan, place);
  const connection = connect(options);
  try {
    await createContainer(containers, record);
    recordEvent(containers, "create", record);
    const launched = await launch(spec, connection.streams, connection.size);
    try {
      const streams = await connection.start(launched.terminal);
      const process = markProcess(launched.pid);
      setProcess(containers, spec.id, process);
      recordEvent(containers, "start", record);
      const release = place?.publication.release ?? (() => {});
      return { made: { launched, streams, spec, record, release }, process };
    } catch (error) {
      killLaunched(launched);
      throw error;
    }
  } catch (error) {
    connection.abandon();
    // Whatever keeps this from undoing, a later command undoes it; the first error is the one to tell.
    await removeGroups(record).then(() => removeContainer(containers, record)).catch(() => {});
    throw error;
  }
}

/** Makes the container in its place. */
async function start(plan: Plan<RunOptions>): Promise<Started> {
  let started: Started | undefined;
  try {
    return await inPlace(plan, async (place) => {
      const result = await make(plan, place);
      started = result.made;
      return result;
    });
  } catch (error) {
    if (started) await undo(plan.containers, started);
    throw error;
  }
}

/** Ends a container that runs although its start has failed. */
async function undo(containers: string, { launched, streams, spec, record }: Started): Promise<void> {
  killLaunched(launched);
  streams.close();
  await removeGroups(lastRecord(spec.rootfs.folder, record));
  await removeContainer(containers, record);
}

/** Makes the container that the user and the image ask for. */
async function startOn(
  image: Image,
  asked: readonly string[],
  wishes: RunOptions,
  containers: string,
): Promise<Started> {
  const plan = await planContainer(image, asked, wishes, containers);
  wishes.signal?.throwIfAborted();
  return start(plan);
}

async function leaveNetworks({ id, networks = [] }: ContainerRecord): Promise<void> {
  if (networks.length === 0) return;
  const { leave } = await lazy.networkAttach();
  await leave([id]);
}

/** Takes what it wants of the folder of a container that has ended well and that is not kept. */
export type Harvest = (folder: string) => Promise<void>;

async function harvested(harvest: Harvest, containers: string, record: ContainerRecord): Promise<void> {
  try {
    await harvest(`${containers}/${record.id}`);
  } catch (error) {
    await removeContainer(containers, record);
    throw error;
  }
}

/** Waits for the end and takes away what must not stay; the files go later, when `removed` resolves. */
async function finish(
  containers: string,
  { launched, streams, spec, record, release }: Started,
  gone: () => void,
  harvest?: Harvest,
): Promise<{ status: RunStatus; removed: Promise<unknown> }> {
  const ending: Ending = await reap(launched.pidfd, gone);
  release();
  const last = lastRecord(spec.rootfs.folder, record);
  const oomKilled = await ranOutOfMemory(last);
  recordEvent(containers, "die", last, { exitCode: ending.code, signal: ending.signal, oomKilled });
  const memoryLimit = oomKilled ? last.options.limits?.memory : undefined;
  await removeGroups(last);
  await leaveNetworks(record);
  const status = {
    success: ending.code === 0,
    code: ending.code,
    signal: ending.signal ?? null,
    oomKilled,
    ...(memoryLimit === undefined ? {} : { memoryLimit }),
  };
  if (!record.keep) {
    if (harvest && status.success) await harvested(harvest, containers, record);
    const removed = removeOwn(containers, record);
    await streams.drained;
    return { status, removed };
  }
  const ended = { at: now(), ...ending, ...(oomKilled ? { oomKilled } : {}) };
  try {
    // Nothing to do if somebody has removed the container.
    withRecord(spec.rootfs.folder, (current) => writeRecord(spec.rootfs.folder, { ...current, ended }));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  clearLiveness(containers, spec.id);
  await streams.drained;
  return { status, removed: Promise.resolve() };
}

/** Refuses what only a container that outlives its caller can have. */
function checkAttached({ restart = "no", health }: RunOptions): void {
  const what = restart !== "no" ? "a restart policy" : health ? "a health check" : undefined;
  if (what === undefined) return;
  throw new InputError(`${what} is for a container in the background: this one ends with its caller`, {
    code: "not-detached",
    hint: "--detach, or runDetached",
  });
}

/** Once for each process and folder, what killed commands left is taken away; `but` is no such container. */
async function reclaimOnce(containers: string, but: string): Promise<void> {
  if (reclaimed.has(containers)) return;
  reclaimed.add(containers);
  if (abandonedIds(containers, SAMPLE, but).length === 0) return;
  const { reclaim } = await lazy.leftovers();
  // What others left must not hurt this run; `gc` says what is wrong with it.
  await reclaim(containers).catch(() => {});
}

/**
 * Runs a command in a new container of `image`: `host`, a folder or archive in the folder of images, or a reference
 * such as `alpine:3.20`, which is pulled if it is missing. Without a command the image's own is run.
 *
 * The standard streams are as with `Deno.Command`, except that `stdin` is `null` unless asked. Call it on the main
 * thread: the kernel ends the container with the thread that made it.
 *
 * @throws {InputError} for options that make no sense; nothing was made.
 * @throws {ImageError} if the image is missing or cannot be unpacked.
 * @throws {CgroupError} for limits that this host cannot set.
 * @throws {ContainerError} if the name is taken.
 * @throws {SpawnError} if a system call failed or the command could not be executed; nothing is left.
 */
export async function run(image: string, command: readonly string[], options: RunOptions = {}): Promise<Container> {
  options.signal?.throwIfAborted();
  return await runUnless(() => options.signal, image, command, options);
}

/** Like {@linkcode run}; `interrupted` is asked for its signal only when there is something that takes long. */
export async function runUnless(
  interrupted: () => AbortSignal | undefined,
  image: string,
  command: readonly string[],
  options: RunOptions,
): Promise<Container> {
  checkOptions(command, options);
  checkAttached(options);
  const folders = findFolders(options);
  let asked: { signal?: AbortSignal } = {};
  const found = await resolveImage(image, folders.images, {
    ...options,
    containers: folders.containers,
    get signal() {
      asked = { signal: asked.signal ?? interrupted() };
      return asked.signal;
    },
  });
  return await runOn(found, command, { ...options, ...asked }, folders);
}

/** Like {@linkcode run}, in a container of an image that has been found. */
export async function runOn(
  found: Image,
  command: readonly string[],
  options: RunOptions,
  { images, containers }: Pick<Folders, "images" | "containers">,
  harvest?: Harvest,
): Promise<Container> {
  const started = await startOn(found, command, options, containers).finally(() => found.release?.());
  const { launched, streams, spec, record } = started;
  const { id } = record;

  let ended = false;
  const kill = (signal: Deno.Signal | number = "SIGTERM"): boolean => {
    const number = signalNumber(signal);
    if (ended || !sendSignal(launched.pidfd, number)) return false;
    // If that fails, a later command sees to it.
    if (number === SIGKILL) thawKilled(spec.rootfs.folder).catch(() => {});
    return true;
  };
  const abort = (): void => void kill(SIGKILL);
  const gone = (): void => {
    ended = true;
    options.signal?.removeEventListener("abort", abort);
  };
  options.signal?.addEventListener("abort", abort);
  if (options.signal?.aborted) abort();
  // A short command has ended when this is done, and need not be waited for.
  reclaimOnce(containers, id);
  const end = finish(containers, started, gone, harvest);
  const status = end.then((result) => result.status);

  return Object.assign(new Child(launched.pid, streams, status, kill), {
    id,
    ...(options.name === undefined ? {} : { name: options.name }),
    networks: record.networks ?? [],
    ports: record.ports ?? [],
    async exec(command: readonly string[], wishes: ExecOptions = {}): Promise<ExecProcess> {
      const { exec } = await lazy.exec();
      return exec(id, command, { ...wishes, images, containers });
    },
    async [Symbol.asyncDispose](): Promise<void> {
      kill(SIGKILL);
      const { removed } = await end;
      streams.close();
      await removed;
    },
  });
}

/**
 * Runs a command in a new container to its end and collects what it writes.
 *
 * @throws whatever {@linkcode run} throws.
 */
export async function output(image: string, command: readonly string[], options: RunOptions = {}): Promise<RunOutput> {
  await using container = await run(image, command, { stdout: "piped", stderr: "piped", ...options });
  return await container.output();
}
