/**
 * Resource usage of containers, sampled periodically: read from a container's control groups where they count it, and
 * otherwise summed over its processes.
 *
 * @module
 */

import { namespaceOf } from "../../../ffi/process/namespaces.ts";
import { type BlockIo, blockIoOf, cpuSecondsOf, memoryOf, tasksIn } from "../../cgroup/usage.ts";
import { sleep } from "../../host/poll.ts";
import { findContainer } from "../state/names.ts";
import { requireRunning, type Running } from "../state/running.ts";
import { blockIoOfProcess, memoryOfProcess, type NetworkIo, networkIoOf, statOf } from "./process_usage.ts";
import { findProcesses } from "./processes.ts";
import { type ContainerRecord, isRunning, readRecord } from "../state/record.ts";
import { readOwnership } from "../state/ownership.ts";

/** Resource usage of a container at one time. */
export interface Sample {
  /** The container's id. */
  readonly id: string;
  /** Its name. Default: none. */
  readonly name?: string;
  /** Time of the sample, in ISO 8601. */
  readonly time: string;
  /** CPU usage in percent of one CPU since the previous sample. Default: there was none. */
  readonly cpuPercent?: number;
  /** CPU time since its start in seconds, without processes that were not reaped. */
  readonly cpuSeconds: number;
  /** Memory in bytes: the usage of its group without inactive page cache, or of its processes without page cache. */
  readonly memory: number;
  /** Memory limit in bytes; the machine's memory if there is none. */
  readonly memoryLimit: number;
  /** `memory` in percent of `memoryLimit`. */
  readonly memoryPercent: number;
  /** Number of processes and threads. */
  readonly pids: number;
  /** Bytes read from block devices. Default: not counted by the kernel. */
  readonly blockRead?: number;
  /** Bytes written to block devices. Default: not counted by the kernel. */
  readonly blockWritten?: number;
  /** Bytes received. Default: it has no network namespace of its own. */
  readonly networkReceived?: number;
  /** Bytes sent. Default: it has no network namespace of its own. */
  readonly networkSent?: number;
}

/** Usage summed over processes. */
interface Usage {
  cpuSeconds: number;
  memory: number;
  tasks: number;
  block?: BlockIo;
}

/** Usage counted by the groups of a container; undefined where they do not count. */
type Counted = Partial<Usage> & { readonly limit?: number };

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

function add(pid: number, sum: Usage, counted: Counted): void {
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

/** Takes samples of running containers; those that have exited are left out. */
export type Sampler = (running: readonly Running[]) => Sample[];

/** Creates a sampler. It scans /proc at most once a call, and remembers CPU times to compute rates. */
export function makeSampler(): Sampler {
  const most = machineMemory();
  const ownNetwork = namespaceOf("self", "net");
  let last = new Map<string, { at: number; cpuSeconds: number }>();

  return (running) => {
    const counted = new Map(running.map(({ record, process }) => [process.pid, countedBy(record)]));
    const sums = new Map<number, Usage>();
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

/** Options of {@linkcode statsOf}. */
export interface StatsOptions {
  /** Interval between samples in milliseconds. Default: 1000. */
  interval?: number;
  /** Stops sampling when aborted. */
  signal?: AbortSignal;
}

/**
 * Yields samples of one container, the first after one interval, until it exits.
 *
 * @param query Its name, id or a unique prefix of its id.
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
    const ownership = readOwnership(containers, id);
    const same = ownership?.process?.startTime === process.startTime && isRunning(ownership);
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
