/**
 * A container that this process holds: what is known of it, its end, and what is taken away then.
 *
 * @module
 */

import { errnoNumber } from "../../../ffi/errno.ts";
import { execute } from "../../../ffi/program/execute.ts";
import { type Ending, reap, sendSignal, SIGKILL } from "../../../ffi/process/process.ts";
import { lazy } from "../../lazy.ts";
import { now } from "../../host/clock.ts";
import type { Folders } from "../../host/folders.ts";
import type { Attachment } from "../../network/allocate.ts";
import type { PublishedPort } from "../../network/ports.ts";
import { signalNumber } from "../../host/signals.ts";
import { removeAtOnce } from "../../program/monitor_programs.ts";
import type { ContainerSpec } from "../../program/spec.ts";
import { Child, type CommandStatus, type Written } from "./child.ts";
import type { ExecOptions, ExecProcess } from "./exec.ts";
import { kill as killLaunched, type Launched } from "./launch.ts";
import { recordEvent } from "../state/event.ts";
import { type ContainerRecord, lastRecord, readRecord, withRecord, writeRecord } from "../state/record.ts";
import { abandonedIds, clearOwnership, removeContainer, removeOwn } from "../state/ownership.ts";
import { SAMPLE } from "../../host/sample.ts";
import type { Streams } from "./streams.ts";

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

const reclaimed = new Set<string>();

/** A container that runs. */
export interface RunningContainer<T extends Launched = Launched> {
  readonly launched: T;
  readonly streams: Streams;
  readonly spec: ContainerSpec;
  readonly record: ContainerRecord;
  /** Lets go of its published ports. */
  readonly release: () => void;
}

/** Removes the control groups of a container that has ended. */
export async function removeGroups({ cgroups }: ContainerRecord): Promise<void> {
  if (cgroups.length === 0) return;
  const { registers } = execute(removeAtOnce(cgroups)), gone = [0, -errnoNumber("ENOENT")];
  const left = cgroups.filter((path) => !gone.includes(registers.get(path) ?? 0));
  if (left.length === 0) return;
  // Some process is still on its way out, or the container has made groups of its own.
  const { removeGroups } = await lazy.cgroupRemove();
  removeGroups(left);
}

async function ranOutOfMemory({ cgroups, options }: ContainerRecord): Promise<boolean> {
  if (cgroups.length === 0 || options.limits?.memory === undefined) return false;
  const { ranOutOfMemory } = await lazy.cgroupUsage();
  return ranOutOfMemory(cgroups);
}

/** What a v1 group has frozen dies only when it runs again. */
async function thawKilled(folder: string): Promise<void> {
  const cgroups = readRecord(folder)?.cgroups ?? [];
  if (cgroups.length === 0) return;
  const { thawGroups } = await lazy.freezer();
  thawGroups(cgroups);
}

/** Ends a container that is not to run: its start has failed, or it was made ahead for nothing. */
export async function undo(containers: string, { launched, streams, spec, record }: RunningContainer): Promise<void> {
  killLaunched(launched);
  streams.close();
  await removeGroups(lastRecord(spec.rootfs.folder, record));
  await removeContainer(containers, record);
}

/** Gives its addresses back. */
export async function leaveNetworks({ id, networks = [] }: ContainerRecord): Promise<void> {
  if (networks.length === 0) return;
  const { releaseLeases } = await lazy.networkReserve();
  await releaseLeases([id]);
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

/**
 * Writes down how a container has ended; false if that cannot be written, as on a full disk: then its marks stay, so that
 * a later command tells that it is lost.
 */
function recordEnd(folder: string, ended: NonNullable<ContainerRecord["ended"]>): boolean {
  try {
    // Nothing to do if somebody has removed the container.
    withRecord(folder, (current) => writeRecord(folder, { ...current, ended }));
    return true;
  } catch (error) {
    return error instanceof Deno.errors.NotFound;
  }
}

/** Waits for the end and takes away what must not stay; the files go later, when `removed` resolves. */
async function finish(
  containers: string,
  { launched, streams, spec, record, release }: RunningContainer,
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
    await streams.drain();
    return { status, removed };
  }
  if (recordEnd(spec.rootfs.folder, { at: now(), ...ending, ...(oomKilled ? { oomKilled } : {}) })) {
    clearOwnership(containers, spec.id);
  }
  await streams.drain();
  return { status, removed: Promise.resolve() };
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

/** Waits for the container's end, and shows it to the script that asked for it. */
export function superviseAttached(
  started: RunningContainer,
  { signal }: { signal?: AbortSignal },
  { images, containers }: Pick<Folders, "images" | "containers">,
  harvest?: Harvest,
): Container {
  const { launched, streams, spec, record } = started;
  const { id, name } = record;
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
    signal?.removeEventListener("abort", abort);
  };
  signal?.addEventListener("abort", abort);
  if (signal?.aborted) abort();
  // A short command has ended when this is done, and need not be waited for.
  reclaimOnce(containers, id);
  const end = finish(containers, started, gone, harvest);
  const status = end.then((result) => result.status);

  return Object.assign(new Child(launched.pid, streams, status, kill), {
    id,
    ...(name === undefined ? {} : { name }),
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
