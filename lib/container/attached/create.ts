/**
 * Creation and launch of attached containers.
 *
 * @module
 */

import { recordEvent } from "../state/event.ts";
import { removeGroups, type RunningContainer, undo } from "./attached.ts";
import { kill, type Launched } from "./launch.ts";
import type { ContainerOptions } from "../spec/options.ts";
import { type Plan, recordOf, withNetwork, withNetworkReservation } from "../spec/plan.ts";
import { type ContainerRecord, identifyProcess, type ProcessIdentity } from "../state/record.ts";
import { createContainer, freeName, removeContainer, setProcess } from "../state/ownership.ts";
import { connect, type Connection, type StreamOptions } from "./streams.ts";
import type { NetworkReservation } from "../../network/reserve.ts";
import type { ContainerSpec } from "../../program/spec.ts";

/** Options of `run`. */
export interface RunOptions extends ContainerOptions, StreamOptions {
  /** Gives up before the start, or kills the container with SIGKILL, when aborted. */
  signal?: AbortSignal;
}

/** Launch of a container's first process, at once or prepared. */
export interface LaunchStrategy<T extends Launched> {
  /** Creates its first process. */
  launch(spec: ContainerSpec, streams: Connection["streams"], size: Connection["size"]): Promise<T>;
  /** Records that it has started. */
  announce(containers: string, record: ContainerRecord, process: ProcessIdentity | undefined): void;
}

/** Records that a container is running, with a `start` event. */
export function announce(containers: string, record: ContainerRecord, process: ProcessIdentity | undefined): void {
  setProcess(containers, record.id, process);
  recordEvent(containers, "start", record);
}

/** Creates and launches the container, or undoes everything. */
async function createAndLaunch<T extends Launched>(
  plan: Plan<RunOptions>,
  { launch, announce }: LaunchStrategy<T>,
  place?: NetworkReservation,
): Promise<{ made: RunningContainer<T>; process: ProcessIdentity | undefined }> {
  const { containers, options } = plan;
  const spec = withNetwork(plan, place);
  const record = recordOf(plan, place);
  const connection = await connect(options, spec.process);
  try {
    await createContainer(containers, record);
    recordEvent(containers, "create", record);
    const launched = await launch(spec, connection.streams, connection.size);
    try {
      const streams = await connection.start(launched.terminal);
      const process = identifyProcess(launched.pid);
      announce(containers, record, process);
      const release = place?.publication.release ?? (() => {});
      return { made: { launched, streams, spec, record, release }, process };
    } catch (error) {
      kill(launched);
      throw error;
    }
  } catch (error) {
    connection.abandon();
    // A later command undoes the rest if this fails; the first error is the one to report.
    await removeGroups(record).then(() => removeContainer(containers, record)).catch(() => {});
    throw error;
  }
}

/** Creates the container while its name and its network addresses are reserved. */
export async function createWithNetworks<T extends Launched>(
  plan: Plan<RunOptions>,
  making: LaunchStrategy<T>,
): Promise<RunningContainer<T>> {
  await freeName(plan.containers, plan.options.name);
  let started: RunningContainer<T> | undefined;
  try {
    return await withNetworkReservation(plan, async (place) => {
      const result = await createAndLaunch(plan, making, place);
      started = result.made;
      return result;
    });
  } catch (error) {
    if (started) await undo(plan.containers, started);
    throw error;
  }
}
