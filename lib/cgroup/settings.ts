import type { Controller, Cpuset } from "./host.ts";
import { type Limits, sharesToWeight } from "./limits.ts";

const PERIOD_US = 100_000;

/** A value for a file of a group, and the controller that has the file. */
export interface Setting {
  /** The controller. */
  controller: Controller;
  /** The file's name. */
  file: string;
  /** The value. */
  value: string;
  /** Whether it does not matter if there is no such file. */
  optional?: true;
}

function setting(
  controller: Controller,
  file: string,
  value: string | number | undefined,
  optional?: boolean,
): Setting[] {
  return value === undefined ? [] : [{ controller, file, value: String(value), ...optional && { optional: true } }];
}

/**
 * Returns limits as v1 writes, in an order that the kernel accepts; see its Documentation/admin-guide/cgroup-v1.
 *
 * @param inherited The CPUs and memory nodes for absent ones: a cpuset group requires both.
 */
export function settingsV1(limits: Limits, inherited: Cpuset | undefined): Setting[] {
  const { memory, memorySwap } = limits;
  return [
    ...setting("cpuset", "cpuset.cpus", limits.cpusetCpus ?? inherited?.cpus),
    ...setting("cpuset", "cpuset.mems", limits.cpusetMems ?? inherited?.mems),
    ...setting("cpu", "cpu.shares", limits.cpuShares),
    ...setting("cpu", "cpu.cfs_period_us", limits.cpus && PERIOD_US),
    ...setting("cpu", "cpu.cfs_quota_us", quota(limits)),
    // Memory and swap together may never be less than memory alone, so memory goes first.
    ...setting("memory", "memory.limit_in_bytes", memory),
    ...setting("memory", "memory.memsw.limit_in_bytes", memorySwap ?? (memory && memory * 2), memorySwap === undefined),
    ...setting("memory", "memory.soft_limit_in_bytes", limits.memoryReservation),
    ...setting("pids", "pids.max", orMax(limits.pids === 0 ? -1 : limits.pids)),
  ];
}

/** Limits as v2 writes them; see the kernel's Documentation/admin-guide/cgroup-v2.rst. */
export function settingsV2(limits: Limits): Setting[] {
  const { memory, memorySwap } = limits;
  const swap = memorySwap === undefined || memorySwap === -1 ? memorySwap : memorySwap - (memory ?? 0);
  const max = quota(limits);
  return [
    ...setting("cpuset", "cpuset.cpus", limits.cpusetCpus),
    ...setting("cpuset", "cpuset.mems", limits.cpusetMems),
    ...setting("cpu", "cpu.weight", limits.cpuShares && sharesToWeight(limits.cpuShares)),
    ...setting("cpu", "cpu.max", max && `${max} ${PERIOD_US}`),
    ...setting("memory", "memory.max", memory),
    ...setting("memory", "memory.swap.max", orMax(swap ?? memory), memorySwap === undefined),
    ...setting("memory", "memory.low", limits.memoryReservation),
    ...setting("pids", "pids.max", orMax(limits.pids === 0 ? -1 : limits.pids)),
  ];
}

function quota({ cpus }: Limits): number | undefined {
  return cpus && Math.round(cpus * PERIOD_US);
}

function orMax(value: number | undefined): number | string | undefined {
  return value === -1 ? "max" : value;
}
