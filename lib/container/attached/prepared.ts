/**
 * Containers that are made before it is known what they run.
 *
 * @module
 */

import { SystemError } from "../../../ffi/fs/fs.ts";
import { ContainerError } from "../../errors.ts";
import { findFolders } from "../../host/folders.ts";
import { resolveImage } from "../../image/resolve.ts";
import type { Attachment } from "../../network/allocate.ts";
import type { PublishedPort } from "../../network/ports.ts";
import type { ContainerSpec } from "../../program/spec.ts";
import { type Container, leaveNetworks, type RunningContainer, superviseAttached, undo } from "./attached.ts";
import { command, launchPrepared, type PreparedProcess } from "./launch.ts";
import { announce, createAndLaunch, type RunOptions } from "./create.ts";
import { type Plan, planContainer } from "../spec/plan.ts";
import { checkOptions, completeFromImage, hostnameOf, prepareProcess } from "../spec/spec.ts";
import { type ContainerRecord, withRecord, writeRecord } from "../state/record.ts";
import { identifyProcess } from "../../host/process_identity.ts";
import { checkAttached } from "./run.ts";

/** What a command can have of its own in a container that was made ahead. */
export interface CommandOptions {
  /** Variables of its environment, beside the container's. */
  env?: Readonly<Record<string, string>>;
  /** Its working directory, which must be there and which the user may enter. Default: the container's. */
  cwd?: string;
}

/**
 * A container that waits for its command. Leaving its scope removes it, unless it has got one: then `run` has returned the
 * container. The kernel ends it if this process dies.
 */
export interface PreparedContainer extends AsyncDisposable {
  /** Twelve hexadecimal digits. */
  readonly id: string;
  /** Its name, if it was given one. */
  readonly name?: string;
  /** Its places on bridged networks, with its addresses. */
  readonly networks: readonly Attachment[];
  /** Its published ports. */
  readonly ports: readonly PublishedPort[];
  /**
   * Runs a command in it, once.
   *
   * @throws {ContainerError} `container-not-running` if it has run one already, or has ended.
   * @throws {InputError} for options that make no sense; it waits on.
   * @throws the reason of the signal that it was made with, if that has been aborted; nothing is left.
   * @throws {SpawnError} if the command could not be executed; nothing is left.
   */
  run(command: readonly string[], options?: CommandOptions): Promise<Container>;
}

// A command must be named; what it is comes later.
const TO_COME = ["/bin/sh"];

function notRunning({ id }: ContainerRecord, why: string): ContainerError {
  return new ContainerError(`the container ${id} was made ahead and ${why}`, {
    code: "container-not-running",
    facts: { container: id },
    hint: "make another one with prepare()",
  });
}

/** What the container is to be with its command. */
async function specWith(
  { spec, image, options }: Pick<Plan<RunOptions>, "spec" | "image" | "options">,
  asked: readonly string[],
  { env, cwd = options.cwd }: CommandOptions,
): Promise<ContainerSpec> {
  const wishes = { ...options, env: { ...options.env, ...env }, cwd };
  checkOptions(asked, wishes);
  const complete = await completeFromImage(image, asked, wishes);
  const hostname = hostnameOf(spec.id, options);
  return { ...spec, process: await prepareProcess(image.lower, complete.command, complete.options, hostname) };
}

/** Writes down what a container runs, as it is to run when it is started again; undefined if it is no more. */
function recordCommand(spec: ContainerSpec, { env, cwd }: CommandOptions): ContainerRecord | undefined {
  return withRecord(spec.rootfs.folder, (current) => {
    const { options } = current;
    const record = {
      ...current,
      command: spec.process.args,
      options: { ...options, env: { ...options.env, ...env }, ...(cwd === undefined ? {} : { cwd }) },
    };
    writeRecord(spec.rootfs.folder, record);
    return record;
  });
}

async function execute(
  { launched, record }: RunningContainer<PreparedProcess>,
  spec: ContainerSpec,
  own: CommandOptions,
): Promise<ContainerRecord> {
  const recorded = recordCommand(spec, own);
  if (!recorded) throw notRunning(record, "has been removed");
  try {
    await command(launched, spec);
  } catch (error) {
    if (error instanceof SystemError && error.code === "EPIPE") throw notRunning(record, "has ended");
    throw error;
  }
  return recorded;
}

/** See `prepare` of `lib/api/containers.ts`. */
export async function prepare(image: string, options: RunOptions): Promise<PreparedContainer> {
  options.signal?.throwIfAborted();
  checkOptions([], options);
  checkAttached(options);
  const folders = findFolders(options), { containers } = folders;
  const found = await resolveImage(image, folders.images, { ...options, containers });
  let plan: Plan<RunOptions>, started: RunningContainer<PreparedProcess>;
  try {
    const { spec, ...planned } = await planContainer(found, TO_COME, options, containers);
    plan = { ...planned, spec: { ...spec, process: { ...spec.process, args: [] } } };
    started = await createAndLaunch(plan, { launch: launchPrepared, announce: () => {} });
  } finally {
    found.release?.();
  }
  const { launched, record } = started, { id, name, networks = [], ports = [] } = record;

  let over: string | undefined;
  const remove = async (): Promise<void> => {
    started.release();
    try {
      await undo(containers, started);
    } finally {
      await leaveNetworks(record);
    }
  };
  return {
    id,
    ...(name === undefined ? {} : { name }),
    networks,
    ports,
    async run(asked, own = {}) {
      const spec = await specWith({ ...plan, options, spec: started.spec }, asked, own);
      if (over !== undefined) throw notRunning(record, over);
      over = "has got its command already";
      try {
        options.signal?.throwIfAborted();
        const recorded = await execute(started, spec, own);
        announce(containers, recorded, identifyProcess(launched.pid));
        return superviseAttached({ ...started, spec, record: recorded }, options, folders);
      } catch (error) {
        await remove();
        throw error;
      }
    },
    async [Symbol.asyncDispose]() {
      if (over !== undefined) return;
      over = "has been removed";
      await remove();
    },
  };
}
