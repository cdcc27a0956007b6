/**
 * What containers use, again and again. What a container's control groups count is asked of them; the rest is added up
 * from its processes.
 *
 * @module
 */

import { namespaceOf } from "../../../ffi/process/namespaces.ts";
import { type BlockIo, blockIoOf, cpuSecondsOf, memoryOf, tasksIn } from "../../cgroup/usage.ts";
import { findContainer } from "../state/names.ts";
import { requireRunning, type Running } from "../state/runtime_groups.ts";
import { blockIoOfProcess, memoryOfProcess, type NetworkIo, networkIoOf, statOf } from "./process_usage.ts";
import { findProcesses } from "./processes.ts";
import { type ContainerRecord, isRunning, readRecord } from "../state/record.ts";
import { readOwnership } from "../state/ownership.ts";

/** What a container uses at a moment. */
export interface Sample {
  /** The container's id. */
  readonly id: string;
  /** Its name. Default: it has none. */
  readonly name?: string;
  /** When, as an ISO 8601 time. */
  readonly time: string;
  /** CPU time in percent of one CPU since the last sample. Default: there was none. */
  readonly cpuPercent?: number;
  /** Seconds of CPU time since its start, but for processes that nobody waited for. */
  readonly cpuSeconds: number;
  /** Bytes of memory: what its group counts without idle page cache, or what its processes have without page cache. */
  readonly memory: number;
  /** The limit on its memory in bytes; the machine's memory if it has none. */
  readonly memoryLimit: number;
  /** `memory` in percent of `memoryLimit`. */
  readonly memoryPercent: number;
  /** Processes and threads. */
  readonly pids: number;
  /** Bytes read from block devices. Default: the kernel does not count them. */
  readonly blockRead?: number;
  /** Bytes written to block devices. Default: the kernel does not count them. */
  readonly blockWritten?: number;
  /** Bytes received from its networks. Default: it has no network of its own. */
  readonly networkReceived?: number;
  /** Bytes sent to its networks. Default: it has no network of its own. */
  readonly networkSent?: number;
}

/** What processes use together. */
interface Together {
  cpuSeconds: number;
  memory: number;
  tasks: number;
  block?: BlockIo;
}

/** What the groups of a container count; the rest is undefined. */
type Counted = Partial<Together> & { readonly limit?: number };

function firstOf<T>(groups: readonly string[], ask: (group: string) => T | undefined): T | undefined {
  for (const group of groups) {
    const answer = ask(group);
    if (answer !== undefined) return answer;
  }
}

function countedBy({ cgroups: groups, countedLate }: ContainerRecord): Counted {
  const memory = firstOf(groups, memoryOf);
  return {
    memory: countedLate ? undefined : memory?.used,
    limit: memory?.limit,
    tasks: firstOf(groups, tasksIn),
    cpuSeconds: firstOf(groups, cpuSecondsOf),
    block: firstOf(groups, blockIoOf),
  };
}

function isComplete({ cpuSeconds, memory, tasks, block }: Counted): boolean {
  return [cpuSeconds, memory, tasks, block].every((value) => value !== undefined);
}

function add(pid: number, sum: Together, counted: Counted): void {
  const stat = statOf(pid);
  if (!stat) return;
  sum.cpuSeconds += stat.cpuSeconds + stat.childSeconds;
  sum.tasks += stat.threads;
  if (counted.memory === undefined) sum.memory += memoryOfProcess(pid);
  const block = counted.block === undefined ? blockIoOfProcess(pid) : undefined;
  if (!block) return;
  sum.block = { read: (sum.block?.read ?? 0) + block.read, written: (sum.block?.written ?? 0) + block.written };
}

function networkOf({ record, process }: Running, own: string | undefined): NetworkIo | undefined {
  const [mode = ""] = [record.options.network ?? []].flat();
  const namespace = namespaceOf(process.pid, "net");
  if (mode.startsWith("container:") || mode === "host" || namespace === undefined || namespace === own) {
    return undefined;
  }
  return networkIoOf(process.pid);
}

function machineMemory(): number {
  return Number(/^MemTotal: +(\d+) kB$/m.exec(Deno.readTextFileSync("/proc/meminfo"))?.[1] ?? 0) * 1024;
}

/** Takes samples of containers that run; those that have ended are left out. */
export type Sampler = (running: readonly Running[]) => Sample[];

/** Makes what takes samples. It looks at /proc at most once a time, and remembers what to tell rates from. */
export function makeSampler(): Sampler {
  const most = machineMemory();
  const ownNetwork = namespaceOf("self", "net");
  let last = new Map<string, { at: number; cpuSeconds: number }>();

  return (running) => {
    const counted = new Map(running.map(({ record, process }) => [process.pid, countedBy(record)]));
    const sums = new Map<number, Together>();
    const open = running.filter(({ process }) => !isComplete(counted.get(process.pid) ?? {}));
    for (const { first, pid } of findProcesses(open.map(({ process }) => process.pid))) {
      const sum = sums.get(first) ?? { cpuSeconds: 0, memory: 0, tasks: 0 };
      sums.set(first, sum);
      add(pid, sum, counted.get(first) ?? {});
    }
    const at = performance.now(), time = new Date().toISOString();
    const looks = new Map<string, { at: number; cpuSeconds: number }>();
    const samples = running.flatMap((one): Sample[] => {
      const { record: { id, name }, process: { pid } } = one;
      const known = counted.get(pid) ?? {}, sum = sums.get(pid);
      const cpuSeconds = known.cpuSeconds ?? sum?.cpuSeconds;
      if (cpuSeconds === undefined) return [];
      const before = last.get(id);
      looks.set(id, { at, cpuSeconds });
      const memory = known.memory ?? sum?.memory ?? 0, memoryLimit = Math.min(known.limit ?? most, most);
      const block = known.block ?? sum?.block;
      const network = networkOf(one, ownNetwork);
      return [{
        id,
        ...(name === undefined ? {} : { name }),
        time,
        ...(before ? { cpuPercent: percent((cpuSeconds - before.cpuSeconds) * 1000, at - before.at) } : {}),
        cpuSeconds: round(cpuSeconds),
        memory,
        memoryLimit,
        memoryPercent: percent(memory, memoryLimit),
        pids: known.tasks ?? sum?.tasks ?? 0,
        ...(block ? { blockRead: block.read, blockWritten: block.written } : {}),
        ...(network ? { networkReceived: network.received, networkSent: network.sent } : {}),
      }];
    });
    last = looks;
    return samples;
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

function percent(part: number, whole: number): number {
  return whole > 0 ? Math.max(0, round(part / whole * 100)) : 0;
}

/** How often to take samples. */
export interface StatsOptions {
  /** Milliseconds between two samples. Default: 1000. */
  interval?: number;
  /** Ends the samples when aborted. */
  signal?: AbortSignal;
}

/** Resolves after some milliseconds, or at once when aborted. */
async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = (): void => resolve();
  const timer = setTimeout(wake, milliseconds);
  signal?.addEventListener("abort", wake);
  await promise;
  clearTimeout(timer);
  signal?.removeEventListener("abort", wake);
}

/**
 * Samples of one container, the first after one interval, until it ends.
 *
 * @param query Its name, id or the beginning of its id.
 * @throws {ContainerError} `container-not-found`, `container-not-running`.
 */
export async function* statsOf(
  containers: string,
  query: string,
  { interval = 1000, signal }: StatsOptions = {},
): AsyncGenerator<Sample> {
  const { record: { id }, process } = requireRunning(containers, findContainer(containers, query));
  const sample = makeSampler();
  const look = (): Sample[] => {
    const record = readRecord(`${containers}/${id}`);
    const liveness = readOwnership(containers, id);
    const same = liveness?.process?.startTime === process.startTime && isRunning(liveness);
    return record && same ? sample([{ record, process }]) : [];
  };
  look();
  for (;;) {
    await sleep(interval, signal);
    const [one] = signal?.aborted ? [] : look();
    if (!one) return;
    yield one;
  }
}
