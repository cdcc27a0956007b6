/**
 * Containers that this process must leave alone, as it cannot see whose they are.
 *
 * @module
 */

import { ContainerError } from "../../errors.ts";
import type { Elsewhere, Ownership } from "./record.ts";

const PLACES: Readonly<Record<Elsewhere, string>> = {
  namespace: "in another PID or time namespace of this machine",
  machine: "on another machine",
};

/** What is told of a container that somebody has elsewhere. */
export function placeOf(elsewhere: Elsewhere): string {
  return PLACES[elsewhere];
}

/**
 * Refuses a container that lives elsewhere, or whose marks are damaged.
 *
 * @throws {ContainerError} `container-elsewhere`, `container-damaged`.
 */
export function refuseUnseen(containers: string, id: string, liveness: Ownership | undefined): void {
  if (liveness?.elsewhere) {
    const { elsewhere } = liveness;
    throw new ContainerError(`container ${id} is held by a process ${placeOf(elsewhere)}`, {
      code: "container-elsewhere",
      facts: { id, elsewhere, origin: liveness.owner.origin },
      hint: elsewhere === "namespace"
        ? "run the command where the container was started"
        : `run the command there; if that machine is gone: rm ${containers}/.live/${id}*`,
    });
  }
  if (liveness?.damaged) {
    throw new ContainerError(
      `container ${id} is damaged: its marks ${containers}/.live/${id}* do not say whose it is`,
      {
        code: "container-damaged",
        facts: { id },
        hint: `sauropod rm -f ${id} ends and removes it`,
      },
    );
  }
}
