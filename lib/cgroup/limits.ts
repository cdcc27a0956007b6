import { InputError } from "../errors.ts";
import { formatSize } from "../text/size.ts";

/** Resource limits of a container. Absent ones are unlimited, except that of processes. */
export interface Limits {
  /** Relative share of busy CPUs, 2 to 262144, as v1's `cpu.shares`; a group without it counts as 1024. */
  cpuShares?: number;
  /** CPUs' worth of time per 100 ms period, 0.01 to 8192, such as 1.5. */
  cpus?: number;
  /** The CPUs it may run on, as a list such as `0-1,3`. */
  cpusetCpus?: string;
  /** The memory nodes it may use, as a list such as `0`. */
  cpusetMems?: string;
  /** Bytes of memory, at least 6 MiB. */
  memory?: number;
  /** Bytes of memory and swap together, at least `memory`; -1 is unlimited. Default: twice `memory`. */
  memorySwap?: number;
  /** Bytes of memory that reclaim tries to leave to it, at least 6 MiB and at most `memory`. */
  memoryReservation?: number;
  /** Processes and threads; 0 and -1 are unlimited. Default: 4096 where the host counts them. */
  pids?: number;
}

/** The command line option of each limit. */
export const LIMIT_OPTIONS: Readonly<Record<keyof Limits, string>> = {
  cpuShares: "--cpu-shares",
  cpus: "--cpus",
  cpusetCpus: "--cpuset-cpus",
  cpusetMems: "--cpuset-mems",
  memory: "--memory",
  memorySwap: "--memory-swap",
  memoryReservation: "--memory-reservation",
  pids: "--pids-limit",
};

const MIN_MEMORY = 6 * 1024 * 1024;
/** The highest CPU number of any kernel build (NR_CPUS is at most 8192). */
const MAX_CPU = 8191;

const RANGES = [
  { limit: "cpuShares", min: 2, max: 262_144, show: String },
  { limit: "cpus", min: 0.01, max: MAX_CPU + 1, fraction: true, show: String },
  { limit: "memory", min: MIN_MEMORY, max: Number.MAX_SAFE_INTEGER, show: formatSize },
  { limit: "memorySwap", min: MIN_MEMORY, max: Number.MAX_SAFE_INTEGER, unlimited: true, show: formatSize },
  { limit: "memoryReservation", min: MIN_MEMORY, max: Number.MAX_SAFE_INTEGER, show: formatSize },
  // PID_MAX_LIMIT of a 64-bit kernel: more can never exist.
  { limit: "pids", min: 0, max: 4_194_304, unlimited: true, show: String },
] as const satisfies readonly {
  limit: keyof Limits;
  min: number;
  max: number;
  fraction?: true;
  unlimited?: true;
  show: (value: number) => string;
}[];

function bad(limit: keyof Limits, value: unknown, why: string, hint?: string): InputError {
  return new InputError(`invalid ${LIMIT_OPTIONS[limit]} ${value}: ${why}`, {
    code: "bad-limit",
    facts: { limit, option: LIMIT_OPTIONS[limit], value },
    hint,
  });
}

/**
 * Checks that limits make sense by themselves, whatever the host.
 *
 * @throws {InputError} `bad-limit`: a value out of range, a malformed CPU or node list, swap smaller than memory
 * or without memory, or a reservation larger than memory.
 */
export function validateLimits(limits: Limits): void {
  for (const range of RANGES) {
    const value = limits[range.limit];
    if (value === undefined || ("unlimited" in range && value === -1)) continue;
    const kind = "fraction" in range ? "number" : "whole number";
    if (!(value >= range.min && value <= range.max) || (kind === "whole number" && !Number.isInteger(value))) {
      const orUnlimited = "unlimited" in range ? ", or -1 for unlimited" : "";
      const bounds = `from ${range.show(range.min)} to ${range.show(range.max)}`;
      throw bad(range.limit, value, `it must be a ${kind} ${bounds}${orUnlimited}`);
    }
  }
  for (const limit of ["cpusetCpus", "cpusetMems"] as const) {
    const list = limits[limit];
    if (list !== undefined && parseCpuList(list) === undefined) {
      throw bad(
        limit,
        JSON.stringify(list),
        "expected a list of numbers and ascending ranges",
        "use a list such as 0-1,3",
      );
    }
  }
  const { memory, memorySwap, memoryReservation } = limits;
  if (memorySwap !== undefined && memorySwap !== -1) {
    if (memory === undefined) {
      throw bad(
        "memorySwap",
        memorySwap,
        "it requires --memory, since it counts memory and swap together",
        "add --memory",
      );
    }
    if (memorySwap < memory) {
      throw bad(
        "memorySwap",
        memorySwap,
        `it counts memory and swap together, so it cannot be less than --memory ${memory}`,
        `use ${memory} for no swap at all, or more`,
      );
    }
  }
  if (memory !== undefined && memoryReservation !== undefined && memoryReservation > memory) {
    throw bad("memoryReservation", memoryReservation, `it cannot be more than --memory ${memory}`);
  }
}

/**
 * Returns the numbers of a CPU or memory node list such as `0-1,3`, in its order; `undefined` if it is malformed,
 * empty, or names a number above 8191. See "List format" in cpuset(7).
 */
export function parseCpuList(list: string): number[] | undefined {
  const numbers: number[] = [];
  for (const part of list.split(",")) {
    const match = /^(\d+)(?:-(\d+))?$/.exec(part);
    if (match === null) return undefined;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (first > last || last > MAX_CPU) return undefined;
    for (let n = first; n <= last; n++) numbers.push(n);
  }
  return numbers;
}

/**
 * Returns the v2 `cpu.weight` (1 to 10000) of v1 `cpu.shares`, as the kernel maps them: ratios are kept, and 1024 is
 * 100. See `sched_weight_to_cgroup` in the kernel's `kernel/sched/sched.h`.
 */
export function sharesToWeight(shares: number): number {
  return Math.min(Math.max(Math.round(shares * 100 / 1024), 1), 10_000);
}

/** Returns the v1 `cpu.shares` of a v2 `cpu.weight`: the kernel's `sched_weight_from_cgroup`. */
export function weightToShares(weight: number): number {
  return Math.round(weight * 1024 / 100);
}
