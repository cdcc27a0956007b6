/**
 * When a detached container is started again, as `docker run --restart` has it.
 *
 * @module
 */

import { close } from "../../../ffi/fs/fs.ts";
import { type Restart, setRestart } from "../../../ffi/program/job.ts";
import { copyDescriptor, openProcess } from "../../../ffi/process/process.ts";
import { ContainerError, InputError } from "../../errors.ts";
import { type ContainerRecord, ownerIsAlive, writeRecord } from "./record.ts";
import { isAlive, type ProcessIdentity } from "../../host/process_identity.ts";
import { readOwnership } from "./ownership.ts";

/**
 * Reads `no`, `on-failure[:TIMES]`, `always` or `unless-stopped`. The last two are the same here: nothing is started
 * again after `stop`, and no daemon starts anything when the machine starts.
 *
 * @throws {InputError} `bad-restart`.
 */
export function parseRestart(text = "no"): Restart {
  const [, failure, times] = /^(on-failure)(?::(\d{1,9}))?$/.exec(text) ?? [];
  if (failure) return { restart: "on-failure", mostRestarts: Number(times ?? 0) };
  if (text === "no" || text === "") return { restart: "no", mostRestarts: 0 };
  if (text === "always" || text === "unless-stopped") return { restart: "always", mostRestarts: 0 };
  throw new InputError(`${JSON.stringify(text)} says not when to start a container again`, {
    code: "bad-restart",
    facts: { restart: text },
    hint: "no, on-failure, on-failure:3, always or unless-stopped",
  });
}

/**
 * Makes sure that a container can be started again as `text` says.
 *
 * @throws {InputError} `bad-restart`; also if it is removed at its end.
 */
export function checkRestart(text: string | undefined, keep: boolean | undefined): void {
  if (parseRestart(text).restart === "no" || keep) return;
  throw new InputError("a container that is removed at its end cannot be started again", {
    code: "bad-restart",
    hint: "leave out --rm or --restart",
  });
}

/** Tells a monitor; false if it has ended. */
function tell(monitor: ProcessIdentity, place: number, policy: Restart): boolean {
  try {
    const pidfd = openProcess(monitor.pid);
    try {
      if (!isAlive(monitor)) return false;
      const job = copyDescriptor(pidfd, place);
      try {
        return setRestart(job, policy);
      } finally {
        close(job);
      }
    } finally {
      close(pidfd);
    }
  } catch {
    return false;
  }
}

/**
 * Changes when a container is started again: at once where a monitor has it, and for all its later starts. For use under
 * the lock of its record.
 *
 * @throws {InputError} `bad-restart`.
 * @throws {ContainerError} `not-detached` if it runs in the foreground; `container-busy` if it is being started or ends.
 */
export function changeRestart(containers: string, record: ContainerRecord, text: string): void {
  const { id, keep, detached, options } = record;
  checkRestart(text, keep);
  const liveness = readOwnership(containers, id), isHeld = liveness !== undefined && ownerIsAlive(liveness);
  if (isHeld && !detached) {
    throw new ContainerError(`container ${id} runs in the foreground and ends with whoever started it`, {
      code: "not-detached",
      facts: { id },
      hint: "change it when it has ended: sauropod start runs it in the background",
    });
  }
  if (isHeld && !tell(liveness.owner, detached?.job ?? -1, parseRestart(text))) {
    throw new ContainerError(`container ${id} is just being started, or ending`, {
      code: "container-busy",
      facts: { id },
      hint: "try again in a moment",
    });
  }
  writeRecord(`${containers}/${id}`, { ...record, options: { ...options, restart: text } });
}
