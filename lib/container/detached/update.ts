/**
 * Updating the resource limits and restart policies of containers.
 *
 * @module
 */

import { changeLimits } from "../../cgroup/update_limits.ts";
import { type CgroupHost, detectCgroups } from "../../cgroup/host.ts";
import type { Limits } from "../../cgroup/limits.ts";
import { type CgroupPlan, groupName, type GroupPlan, planCgroups } from "../../cgroup/plan.ts";
import { memoryOf } from "../../cgroup/usage.ts";
import { CgroupError, InputError } from "../../errors.ts";
import { formatSize } from "../../text/size.ts";
import { requireRunning, type Running } from "../state/running.ts";
import { findContainer } from "../state/names.ts";
import { memoryOfProcess } from "../stats/process_usage.ts";
import { processesOf } from "../stats/processes.ts";
import { awaitsCommand, type ContainerRecord, readRecord, statusOf, withRecord, writeRecord } from "../state/record.ts";
import { changeRestart, checkRestart } from "../state/restart_policy.ts";
import { readOwnership } from "../state/ownership.ts";
import { busy, removedMeanwhile, requireVisibleOwner } from "../state/errors.ts";

/** Changes to a container: limits, and its restart policy. */
export interface Changes extends Limits {
  /** The restart policy, as of `run --restart`. Default: unchanged. */
  readonly restart?: string;
}

/** The result of an update. */
export interface Updated {
  /** The container's id. */
  readonly id: string;
  /** All its limits after the update. */
  readonly limits: Limits;
  /** Whether it runs, under these limits; otherwise they take effect at its next start. */
  readonly running: boolean;
  /** Bytes of memory that it allocated before accounting began, and that its limit does not include. Default: none. */
  readonly uncounted?: number;
}

function planFor(host: CgroupHost, record: ContainerRecord, limits: Limits): CgroupPlan {
  return planCgroups(host, groupName(record.id), limits, { parent: record.options.cgroupParent });
}

function memoryOfProcesses(first: number): number {
  return processesOf(first).reduce((sum, pid) => sum + memoryOfProcess(pid), 0);
}

/**
 * Checks that a new memory limit is not below the memory of a running container that the kernel cannot reclaim, and
 * returns that usage. v1 refuses such a limit itself, but v2 kills, and a new group has counted nothing yet.
 */
function checkMemoryUsage({ record, process }: Running, limit: number, counted: boolean): number {
  const memory = record.cgroups.map(memoryOf).find((memory) => memory !== undefined);
  const used = counted && memory ? memory.used - memory.cache : memoryOfProcesses(process.pid);
  if (used <= limit) return used;
  throw new CgroupError(
    `cannot set --memory ${formatSize(limit)}: container ${record.id} already uses ${formatSize(used)}`,
    {
      code: "limit-below-usage",
      facts: { id: record.id, limit, used },
      hint: "choose a higher limit; sauropod stats shows the usage",
    },
  );
}

function countsMemory({ cgroups }: ContainerRecord): boolean {
  return cgroups.some((group) => memoryOf(group) !== undefined);
}

/** Returns the planned groups with limits. The container must be in all of them. */
function limitedOf({ groups }: CgroupPlan, { id, cgroups }: ContainerRecord): GroupPlan[] {
  const limited = groups.filter((group) => group.limited);
  const missing = limited.find(({ path }) => !cgroups.includes(path));
  if (!missing) return limited;
  throw new CgroupError(`cannot limit container ${id}: it is not in the control group ${missing.path}`, {
    code: "group-missing",
    facts: { id, path: missing.path },
    hint: "set the limit while the container is not running; it takes effect at the next start",
  });
}

function applyTo(containers: string, running: Running, asked: Limits, limits: Limits): Updated {
  const { record } = running;
  const folder = `${containers}/${record.id}`;
  const groups = limitedOf(planFor(detectCgroups(), record, limits), record);
  // On v2 the controller may have been enabled for the group only now.
  const counted = countsMemory(record);
  const used = asked.memory === undefined ? 0 : checkMemoryUsage(running, asked.memory, counted);
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

/** Sets limits of a container and keeps the others. Must be called under the lock of its record. */
function updateLimits(containers: string, record: ContainerRecord, asked: Limits): Updated {
  const limits = merge(record.options.limits ?? {}, asked);
  const ownership = readOwnership(containers, record.id), status = statusOf(record, ownership);
  if (status === "running") return applyTo(containers, requireRunning(containers, record), asked, limits);
  if (ownership && status === "created") {
    const reason = awaitsCommand(record) ? "it is waiting for its command" : "it is being started";
    throw busy("update", record.id, reason, "update it when it is running");
  }
  // Throws for limits that this host could not set at the next start.
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
  const ownership = readOwnership(containers, id), running = statusOf(record, ownership) === "running";
  requireVisibleOwner(containers, id, ownership);
  const updated = isEmpty(limits)
    ? { id, limits: options.limits ?? {}, running }
    : updateLimits(containers, record, limits);
  if (restart !== undefined) changeRestart(containers, readRecord(folder) ?? record, restart);
  return updated;
}

/**
 * Updates limits and the restart policy of a container, at once if it runs, and for later starts. Settings that are not
 * given stay as they are. Either all limits change or none.
 *
 * @param query Its name, id or a unique prefix of its id.
 * @throws {InputError} `no-limits`, `bad-restart`, and for invalid limits.
 * @throws {ContainerError} `container-not-found`; `not-detached`, `container-busy` if its monitor cannot be reached.
 * @throws {CgroupError} for limits that this host cannot set; `limit-below-usage`, `limit-refused`.
 */
export function updateContainer(containers: string, query: string, asked: Changes): Updated {
  if (isEmpty(asked)) {
    throw new InputError("no limit to change", { code: "no-limits", hint: "name one, for example --memory 256m" });
  }
  const record = findContainer(containers, query);
  const updated = withRecord(`${containers}/${record.id}`, (current) => update(containers, current, asked));
  if (!updated) throw removedMeanwhile(record.id);
  return updated;
}
