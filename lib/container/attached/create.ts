/**
 * Creation of an attached container: its record, network reservation, streams and launch.
 *
 * @module
 */

import { recordEvent } from "../state/event.ts";
import { removeGroups, type RunningContainer } from "./attached.ts";
import { kill, type Launched } from "./launch.ts";
import type { ContainerOptions } from "../options.ts";
import { type Plan, recordOf, reserveNetworks, withNetwork } from "../spec/plan.ts";
import type { ContainerRecord } from "../state/record.ts";
import { identifyProcess, type ProcessIdentity } from "../../host/process_identity.ts";
import { createContainer, freeName, removeContainer, setProcess } from "../state/ownership.ts";
import { connect, type Connection, type StreamOptions, type Streams } from "./streams.ts";
import type { ContainerSpec } from "../../program/spec.ts";

/** Options of `run`. */
export interface RunOptions extends ContainerOptions, StreamOptions {
  /** Gives up before the start, or kills the container with SIGKILL, when aborted. */
  signal?: AbortSignal;
}

/** Launch strategy: how the first process is launched and announced. */
export interface LaunchStrategy<T extends Launched> {
  /** Launches the first process. */
  launch(spec: ContainerSpec, streams: Connection["streams"], size: Connection["size"]): Promise<T>;
  /** Announces the running container. */
  announce(containers: string, record: ContainerRecord, process: ProcessIdentity | undefined): void;
}

/** Records the first process of a container and its `start` event. */
export function announce(containers: string, record: ContainerRecord, process: ProcessIdentity | undefined): void {
  setProcess(containers, record.id, process);
  recordEvent(containers, "start", record);
}

/** Creates the container on its networks and launches its first process; leaves nothing behind if that fails. */
export async function createAndLaunch<T extends Launched>(
  plan: Plan<RunOptions>,
  { launch, announce }: LaunchStrategy<T>,
): Promise<RunningContainer<T>> {
  const { containers, options } = plan;
  await freeName(containers, options.name);
  using reservation = await reserveNetworks(plan);
  const spec = withNetwork(plan, reservation), record = recordOf(plan, reservation);
  const connection = await connect(options, spec.process);
  let launched: T | undefined, streams: Streams | undefined;
  try {
    await createContainer(containers, record);
    recordEvent(containers, "create", record);
    launched = await launch(spec, connection.streams, connection.size);
    streams = await connection.start(launched.terminal);
    const process = identifyProcess(launched.pid);
    announce(containers, record, process);
    reservation?.commit({ process });
    return { launched, streams, spec, record, release: reservation?.publication.release ?? (() => {}) };
  } catch (error) {
    // Once there are streams, they close the terminal.
    if (launched) kill(streams ? { ...launched, terminal: undefined } : launched);
    if (streams) streams.close();
    else connection.abandon();
    // If this fails too, a later command reclaims the rest; the first error is the one to report.
    await removeGroups(record).then(() => removeContainer(containers, record)).catch(() => {});
    throw error;
  }
}
