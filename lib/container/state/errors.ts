/**
 * Errors of containers that do not exist, or are not in the state that a command needs.
 *
 * @module
 */

import { ContainerError } from "../../errors.ts";
import type { Elsewhere, Ownership } from "./record.ts";

type Facts = Readonly<Record<string, unknown>>;

function failure(code: string, id: string, message: string, hint?: string, facts: Facts = {}): ContainerError {
  return new ContainerError(message, { code: `container-${code}`, facts: { id, ...facts }, hint });
}

/** Creates the error for a name or id that no container in the directory `containers` has. */
export function noSuchContainer(query: string, containers: string): ContainerError {
  return new ContainerError(`no such container: ${query} (in ${containers})`, {
    code: "container-not-found",
    facts: { query, containers },
    hint: "list all containers: sauropod ps -a",
  });
}

/** Creates the error for a container that another process removed after it had been found. */
export function removedMeanwhile(id: string): ContainerError {
  return failure("not-found", id, `container ${id} has been removed in the meantime`);
}

/** Creates the error of a command that needs a running container. */
export function notRunning(id: string, status: string): ContainerError {
  return failure("not-running", id, `container ${id} is not running: it is ${status}`, `sauropod start ${id}`, {
    status,
  });
}

/** Creates the error of a command that needs a container that does not run. */
export function stillRunning(action: string, id: string, status: string, hint: string): ContainerError {
  return failure("running", id, `cannot ${action} container ${id}: it is ${status}`, hint, { status });
}

/** Creates the error for a container that another process is working on. */
export function busy(action: string, id: string, reason: string, hint = "try again in a moment"): ContainerError {
  return failure("busy", id, `cannot ${action} container ${id}: ${reason}`, hint);
}

/** Creates the error of a command that a paused container cannot take. */
export function paused(id: string): ContainerError {
  return failure("paused", id, `container ${id} is paused`, `sauropod unpause ${id}`);
}

/** Creates the error of `unpause` for a container that is not paused. */
export function notPaused(id: string): ContainerError {
  return failure("not-paused", id, `container ${id} is not paused`);
}

/** Creates the error for a container that ran while its files were copied. */
export function thawed(id: string): ContainerError {
  return failure(
    "thawed",
    id,
    `cannot copy the files of container ${id}: it was stopped or unpaused meanwhile`,
    "try again",
  );
}

const PLACES: Readonly<Record<Elsewhere, string>> = {
  namespace: "in another PID or time namespace of this machine",
  machine: "on another machine",
};

/** Returns where the owner of a container is that this process cannot see, as a phrase. */
export function describeElsewhere(elsewhere: Elsewhere): string {
  return PLACES[elsewhere];
}

/**
 * Checks that this process can see the owner of a container, and that the ownership marks are valid.
 *
 * @throws {ContainerError} `container-elsewhere`, `container-damaged`.
 */
export function requireVisibleOwner(containers: string, id: string, ownership: Ownership | undefined): void {
  const marks = `${containers}/.live/${id}*`, elsewhere = ownership?.elsewhere;
  if (elsewhere) {
    const hint = elsewhere === "namespace"
      ? "run the command where the container was started"
      : `run the command there; if that machine no longer exists: rm ${marks}`;
    const facts = { elsewhere, origin: ownership.owner.origin };
    throw failure("elsewhere", id, `container ${id} is held by a process ${PLACES[elsewhere]}`, hint, facts);
  }
  if (!ownership?.damaged) return;
  const message = `container ${id} is damaged: its ownership marks ${marks} are invalid`;
  throw failure("damaged", id, message, `kill and remove it: sauropod rm -f ${id}`);
}
