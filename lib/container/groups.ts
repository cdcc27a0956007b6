/**
 * Control groups that a container gets while it runs, because something needs them that its limits did not ask for.
 *
 * @module
 */

import { isFolder } from "../../ffi/paths.ts";
import { adopt } from "../cgroup/adopt.ts";
import type { CgroupHost } from "../cgroup/host.ts";
import type { GroupPlan } from "../cgroup/plan.ts";
import { ContainerError } from "../errors.ts";
import { treatProcesses } from "./processes.ts";
import { type ContainerRecord, type ProcessMark, statusOf, writeRecord } from "./record.ts";
import { livenessOf } from "./store.ts";
import { refuseUnseen } from "./unseen.ts";

/** A container that runs, and its first process. */
export interface Running {
  /** Its record. */
  readonly record: ContainerRecord;
  /** Its first process. */
  readonly process: ProcessMark;
}

/**
 * Makes sure that a container runs, frozen or not.
 *
 * @throws {ContainerError} `container-not-running`.
 */
export function requireRunning(containers: string, record: ContainerRecord): Running {
  const liveness = livenessOf(containers, record.id);
  refuseUnseen(containers, record.id, liveness);
  if (liveness?.process && statusOf(record, liveness) === "running") return { record, process: liveness.process };
  throw new ContainerError(`container ${record.id} does not run`, {
    code: "container-not-running",
    facts: { id: record.id, status: statusOf(record, liveness) },
    hint: "sauropod ps lists those that do",
  });
}

/** Of the planned groups, those that a container is not in yet, or not with all its processes. */
export function missingGroups(
  { cgroups, joining = [] }: ContainerRecord,
  planned: readonly GroupPlan[],
): GroupPlan[] {
  return planned.filter(({ path }) => !cgroups.includes(path) || joining.includes(path) || !isFolder(path));
}

/**
 * Makes those of the planned groups that a container which runs is not in, and moves it there; for use under the lock of
 * its record ({@linkcode withRecord}). The record names the groups before they are made, so that they are removed
 * whatever happens.
 *
 * @returns The record as it is then.
 * @throws {CgroupError} if that fails; then the new groups are gone again, and the record is as it was.
 * @throws {ContainerError} `container-not-running` if it ends meanwhile.
 */
export function ensureGroups(
  containers: string,
  host: CgroupHost,
  { record, process }: Running,
  planned: readonly GroupPlan[],
): ContainerRecord {
  const missing = missingGroups(record, planned);
  if (missing.length === 0) return record;
  const folder = `${containers}/${record.id}`;
  const joining = missing.map(({ path }) => path);
  const changed = { ...record, cgroups: [...new Set([...record.cgroups, ...joining])] };
  writeRecord(folder, { ...changed, joining: [...new Set([...record.joining ?? [], ...joining])] });
  try {
    adopt(host, missing, process.pid, (move, timeoutMs) => {
      const done = treatProcesses(process.pid, move, timeoutMs);
      requireRunning(containers, record);
      return done;
    });
  } catch (error) {
    if (!joining.some(isFolder)) writeRecord(folder, record);
    throw error;
  }
  const settled = { ...changed, joining: record.joining?.filter((path) => !joining.includes(path)) };
  writeRecord(folder, settled);
  return settled;
}
