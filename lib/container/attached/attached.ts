/**
 * Supervision of an attached container: signals, exit status, cleanup.
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

/** Exit status of a container. */
export interface RunStatus extends CommandStatus {
  /** Whether the OOM killer killed a process of the container. */
  readonly oomKilled: boolean;
  /** The memory limit in bytes at which it did. Default: none. */
  readonly memoryLimit?: number;
}

/** Exit status and output of a container, in the shape of `Deno.CommandOutput`. */
export type RunOutput = RunStatus & Written;

/**
 * A running container, in the shape of `Deno.ChildProcess`. `await using` kills it at the end of the scope if it is still
 * running; the kernel kills it if this process dies.
 */
export interface Container extends Child<RunStatus>, AsyncDisposable {
  /** Container ID: twelve hexadecimal digits. */
  readonly id: string;
  /** Name of the container. Default: none. */
  readonly name?: string;
  /** Attachments to bridged networks, with addresses. */
  readonly networks: readonly Attachment[];
  /** Published ports. */
  readonly ports: readonly PublishedPort[];
  /** Runs an additional command in it; see `exec`. */
  exec(command: readonly string[], options?: ExecOptions): Promise<ExecProcess>;
}

const reclaimed = new Set<string>();

/** An attached container that is running. */
export interface RunningContainer<T extends Launched = Launched> {
  readonly launched: T;
  readonly streams: Streams;
  readonly spec: ContainerSpec;
  readonly record: ContainerRecord;
  /** Releases its published ports. */
  readonly release: () => void;
}

/** Removes the control groups of a container that has exited. */
export async function removeGroups({ cgroups }: ContainerRecord): Promise<void> {
  if (cgroups.length === 0) return;
  const { registers } = execute(removeAtOnce(cgroups)), gone = [0, -errnoNumber("ENOENT")];
  const left = cgroups.filter((path) => !gone.includes(registers.get(path) ?? 0));
  if (left.length === 0) return;
  // A process is still exiting, or the container has created groups of its own.
  const { removeGroups } = await lazy.cgroupRemove();
  removeGroups(left);
}

async function ranOutOfMemory({ cgroups, options }: ContainerRecord): Promise<boolean> {
  if (cgroups.length === 0 || options.limits?.memory === undefined) return false;
  const { ranOutOfMemory } = await lazy.cgroupUsage();
  return ranOutOfMemory(cgroups);
}

/** Thaws a killed container: frozen by cgroup v1, its processes die only when they run again. */
async function thawKilled(folder: string): Promise<void> {
  const cgroups = readRecord(folder)?.cgroups ?? [];
  if (cgroups.length === 0) return;
  const { thawGroups } = await lazy.freezer();
  thawGroups(cgroups);
}

/** Kills and removes a container whose start failed, or that was prepared and not used. */
export async function undo(containers: string, { launched, streams, spec, record }: RunningContainer): Promise<void> {
  // The streams close the terminal.
  killLaunched({ ...launched, terminal: undefined });
  streams.close();
  await removeGroups(lastRecord(spec.rootfs.folder, record));
  await removeContainer(containers, record);
}

/** Releases the network addresses of a container. */
export async function leaveNetworks({ id, networks = [] }: ContainerRecord): Promise<void> {
  if (networks.length === 0) return;
  const { releaseLeases } = await lazy.networkReserve();
  await releaseLeases([id]);
}

/** Function that is called with the container's directory after a successful exit, just before it is removed. */
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
 * Records the exit of a container. Returns false if that fails, as on a full disk: its marks must stay then, so that a
 * later command reports it as lost.
 */
function recordEnd(folder: string, ended: NonNullable<ContainerRecord["ended"]>): boolean {
  try {
    // Nothing to do if the container has been removed.
    withRecord(folder, (current) => writeRecord(folder, { ...current, ended }));
    return true;
  } catch (error) {
    return error instanceof Deno.errors.NotFound;
  }
}

/** Waits for the exit and cleans up; `removed` resolves when the files are removed, too. */
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

/** Cleans up after killed commands, once a process and directory; container `but` is excluded. */
async function reclaimOnce(containers: string, but: string): Promise<void> {
  if (reclaimed.has(containers)) return;
  reclaimed.add(containers);
  if (abandonedIds(containers, SAMPLE, but).length === 0) return;
  const { reclaim } = await lazy.leftovers();
  // An error here must not fail this run; `gc` reports it.
  await reclaim(containers).catch(() => {});
}

/** Supervises an attached container until it exits, and returns it for a script. */
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
    // If that fails, a later command thaws it.
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
  // A short command has exited by the time this is done, which saves waiting for it.
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
