/**
 * Changing the limits of containers, and when they are started again.
 *
 * @module
 */

import { changeLimits } from "../../cgroup/update_limits.ts";
import { type CgroupHost, detectCgroups } from "../../cgroup/host.ts";
import type { Limits } from "../../cgroup/limits.ts";
import { type CgroupPlan, groupName, type GroupPlan, planCgroups } from "../../cgroup/plan.ts";
import { memoryOf } from "../../cgroup/usage.ts";
import { CgroupError, ContainerError, InputError } from "../../errors.ts";
import { formatSize } from "../../text/size.ts";
import { requireRunning, type Running } from "../state/runtime_groups.ts";
import { findContainer } from "../state/names.ts";
import { memoryOfProcess } from "../stats/process_usage.ts";
import { processesOf } from "../stats/processes.ts";
import { awaitsCommand, type ContainerRecord, readRecord, statusOf, withRecord, writeRecord } from "../state/record.ts";
import { changeRestart, checkRestart } from "../state/restart_policy.ts";
import { readOwnership } from "../state/ownership.ts";
import { refuseUnseen } from "../state/unseen.ts";

/** What to change. */
export interface Changes extends Limits {
  /** When to start it again, as `run --restart` has it. */
  readonly restart?: string;
}

/** What an update did. */
export interface Updated {
  /** The container's id. */
  readonly id: string;
  /** All its limits now. */
  readonly limits: Limits;
  /** Whether it runs, and so under these limits; else they count from its next start. */
  readonly running: boolean;
  /** Bytes of memory that it took before its memory was counted, and that its limit therefore does not count. Default: none. */
  readonly uncounted?: number;
}

function planFor(host: CgroupHost, record: ContainerRecord, limits: Limits): CgroupPlan {
  return planCgroups(host, groupName(record.id), limits, { parent: record.options.cgroupParent });
}

function memoryOfProcesses(first: number): number {
  return processesOf(first).reduce((sum, pid) => sum + memoryOfProcess(pid), 0);
}

/**
 * Bytes of memory that a limit would have to leave to a container that runs: what the kernel cannot take back. v1 would
 * find out by itself, but v2 kills for it, and a group that is new counts nothing yet.
 */
function refuseBelowUsage({ record, process }: Running, limit: number, counted: boolean): number {
  const memory = record.cgroups.map(memoryOf).find((memory) => memory !== undefined);
  const used = counted && memory ? memory.used - memory.cache : memoryOfProcesses(process.pid);
  if (used <= limit) return used;
  throw new CgroupError(`--memory ${formatSize(limit)}: container ${record.id} uses ${formatSize(used)} already`, {
    code: "limit-below-usage",
    facts: { id: record.id, limit, used },
    hint: "sauropod stats shows what it uses; choose more than that.",
  });
}

function countsMemory({ cgroups }: ContainerRecord): boolean {
  return cgroups.some((group) => memoryOf(group) !== undefined);
}

/** Of the planned groups, those that hold limits, which the container must be in. */
function limitedOf({ groups }: CgroupPlan, { id, cgroups }: ContainerRecord): GroupPlan[] {
  const limited = groups.filter((group) => group.limited);
  const missing = limited.find(({ path }) => !cgroups.includes(path));
  if (!missing) return limited;
  throw new CgroupError(`container ${id} is not in the control group ${missing.path}, which would have the limit`, {
    code: "group-missing",
    facts: { id, path: missing.path },
    hint: "the limit counts from its next start, if it is set while the container does not run",
  });
}

function applyTo(containers: string, running: Running, asked: Limits, limits: Limits): Updated {
  const { record } = running;
  const folder = `${containers}/${record.id}`;
  const groups = limitedOf(planFor(detectCgroups(), record, limits), record);
  // On v2 a controller may be handed down only now.
  const counted = countsMemory(record);
  const used = asked.memory === undefined ? 0 : refuseBelowUsage(running, asked.memory, counted);
  const undo = changeLimits(groups);
  const late = limits.memory !== undefined && !counted;
  try {
    writeRecord(folder, {
      ...record,
      options: { ...record.options, limits },
      ...(late ? { countedLate: true } : {}),
    });
  } catch (error) {
    undo();
    throw error;
  }
  return { id: record.id, limits, running: true, ...(late ? { uncounted: used } : {}) };
}

function merge(old: Limits, asked: Limits): Limits {
  return {
    cpuShares: asked.cpuShares ?? old.cpuShares,
    cpus: asked.cpus ?? old.cpus,
    cpusetCpus: asked.cpusetCpus ?? old.cpusetCpus,
    cpusetMems: asked.cpusetMems ?? old.cpusetMems,
    memory: asked.memory ?? old.memory,
    memorySwap: asked.memorySwap ?? old.memorySwap,
    memoryReservation: asked.memoryReservation ?? old.memoryReservation,
    pids: asked.pids ?? old.pids,
  };
}

/** Sets limits of a container; those that are not named stay as they are. For use under the lock of its record. */
function updateLimits(containers: string, record: ContainerRecord, asked: Limits): Updated {
  const limits = merge(record.options.limits ?? {}, asked);
  const liveness = readOwnership(containers, record.id), status = statusOf(record, liveness);
  if (status === "running") return applyTo(containers, requireRunning(containers, record), asked, limits);
  if (liveness && status === "created") {
    const why = awaitsCommand(record) ? "waits for its command" : "is just being started";
    throw new ContainerError(`container ${record.id} ${why} and has got its limits already`, {
      code: "container-busy",
      facts: { id: record.id },
      hint: "change them when it runs",
    });
  }
  // Refuses what this host could not set at the next start.
  planFor(detectCgroups(), record, limits);
  writeRecord(`${containers}/${record.id}`, { ...record, options: { ...record.options, limits } });
  return { id: record.id, limits, running: false };
}

function isEmpty(changes: Changes): boolean {
  return Object.values(changes).every((change) => change === undefined);
}

function update(containers: string, record: ContainerRecord, { restart, ...limits }: Changes): Updated {
  const { id, options, keep } = record, folder = `${containers}/${id}`;
  checkRestart(restart, keep);
  const liveness = readOwnership(containers, id), running = statusOf(record, liveness) === "running";
  refuseUnseen(containers, id, liveness);
  const updated = isEmpty(limits)
    ? { id, limits: options.limits ?? {}, running }
    : updateLimits(containers, record, limits);
  if (restart !== undefined) changeRestart(containers, readRecord(folder) ?? record, restart);
  return updated;
}

/**
 * Changes limits of a container, and when it is started again: at once if it runs, and for all its later starts. What is
 * not named stays as it is. Either all limits change or none.
 *
 * @param query Its name, id or the beginning of its id.
 * @throws {InputError} `no-limits`, `bad-restart`, and for limits that make no sense.
 * @throws {ContainerError} `container-not-found`; `not-detached`, `container-busy` if its monitor cannot be told.
 * @throws {CgroupError} for limits that this host cannot set; `limit-below-usage`, `limit-refused`.
 */
export function updateContainer(containers: string, query: string, asked: Changes): Updated {
  if (isEmpty(asked)) {
    throw new InputError("there is no limit to change", { code: "no-limits", hint: "for example --memory 256m" });
  }
  const record = findContainer(containers, query);
  const updated = withRecord(`${containers}/${record.id}`, (current) => update(containers, current, asked));
  if (updated) return updated;
  throw new ContainerError(`container ${record.id} has been removed meanwhile`, {
    code: "container-not-found",
    facts: { id: record.id },
  });
}
