/**
 * Restart policies of detached containers, as of `docker run --restart`.
 *
 * @module
 */

import { Fd } from "../../../ffi/fs/fd.ts";
import { type Restart, setRestart } from "../../../ffi/program/job.ts";
import { copyDescriptor, openProcess } from "../../../ffi/process/process.ts";
import { ContainerError, InputError } from "../../errors.ts";
import { busy } from "./errors.ts";
import { type ContainerRecord, ownerIsAlive, writeRecord } from "./record.ts";
import { isAlive, type ProcessIdentity } from "../../host/process_identity.ts";
import { readOwnership } from "./ownership.ts";

/**
 * Parses a restart policy: `no`, `on-failure[:TIMES]`, `always` or `unless-stopped`. The last two are equal here: `stop`
 * ends restarting, and no daemon restarts containers at boot.
 *
 * @throws {InputError} `bad-restart`.
 */
export function parseRestart(text = "no"): Restart {
  const [, failure, times] = /^(on-failure)(?::(\d{1,9}))?$/.exec(text) ?? [];
  if (failure) return { restart: "on-failure", mostRestarts: Number(times ?? 0) };
  if (text === "no" || text === "") return { restart: "no", mostRestarts: 0 };
  if (text === "always" || text === "unless-stopped") return { restart: "always", mostRestarts: 0 };
  throw new InputError(`invalid restart policy ${JSON.stringify(text)}`, {
    code: "bad-restart",
    facts: { restart: text },
    hint: "use no, on-failure, on-failure:3, always or unless-stopped",
  });
}

/**
 * Checks a restart policy, and that the container is kept after it has exited, as restarting needs.
 *
 * @throws {InputError} `bad-restart`.
 */
export function checkRestart(text: string | undefined, keep: boolean | undefined): void {
  if (parseRestart(text).restart === "no" || keep) return;
  throw new InputError("--rm and --restart cannot be combined", {
    code: "bad-restart",
    hint: "omit one of them",
  });
}

/** Changes the policy in the job of a running monitor. Returns false if the monitor has exited. */
function updateMonitor(monitor: ProcessIdentity, descriptor: number, policy: Restart): boolean {
  try {
    using pidfd = new Fd(openProcess(monitor.pid));
    if (!isAlive(monitor)) return false;
    using job = new Fd(copyDescriptor(pidfd.number, descriptor));
    return setRestart(job.number, policy);
  } catch {
    return false;
  }
}

/**
 * Changes the restart policy of a container, in its running monitor and for later starts. Must be called under the lock
 * of its record.
 *
 * @throws {InputError} `bad-restart`.
 * @throws {ContainerError} `not-detached` if it is attached; `container-busy` if it is being started or is exiting.
 */
export function changeRestart(containers: string, record: ContainerRecord, text: string): void {
  const { id, keep, detached, options } = record;
  checkRestart(text, keep);
  const ownership = readOwnership(containers, id), isHeld = ownership !== undefined && ownerIsAlive(ownership);
  if (isHeld && !detached) {
    throw new ContainerError(
      `cannot change the restart policy of container ${id}: it is attached to the process that started it`,
      {
        code: "not-detached",
        facts: { id },
        hint: "change it after it has exited; sauropod start runs it detached",
      },
    );
  }
  if (isHeld && !updateMonitor(ownership.owner, detached?.job ?? -1, parseRestart(text))) {
    throw busy("update", id, "it is being started or is exiting");
  }
  writeRecord(`${containers}/${id}`, { ...record, options: { ...options, restart: text } });
}
