/**
 * Prepared containers: created up to a command that is given later.
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

/** Options of the command in a prepared container. */
export interface CommandOptions {
  /** Additional environment variables. */
  env?: Readonly<Record<string, string>>;
  /** Working directory, which must exist and be accessible to the user. Default: the container's. */
  cwd?: string;
}

/**
 * A container that waits for its command. Leaving its scope removes it, unless `run` has returned the running container.
 * The kernel kills it if this process dies.
 */
export interface PreparedContainer extends AsyncDisposable {
  /** Container ID: twelve hexadecimal digits. */
  readonly id: string;
  /** Name of the container. Default: none. */
  readonly name?: string;
  /** Attachments to bridged networks, with addresses. */
  readonly networks: readonly Attachment[];
  /** Published ports. */
  readonly ports: readonly PublishedPort[];
  /**
   * Runs a command in it, once.
   *
   * @throws {ContainerError} `container-not-running` if it has a command already, or has exited.
   * @throws {InputError} for invalid options; it goes on waiting.
   * @throws the reason of the signal given to `prepare`, if aborted; nothing remains.
   * @throws {SpawnError} if the command could not be executed; nothing remains.
   */
  run(command: readonly string[], options?: CommandOptions): Promise<Container>;
}

// Stands in until the command is known.
const PLACEHOLDER = ["/bin/sh"];

function notRunning({ id }: ContainerRecord, why: string): ContainerError {
  return new ContainerError(`cannot run a command in prepared container ${id}: it ${why}`, {
    code: "container-not-running",
    facts: { container: id },
    hint: "create another one with prepare()",
  });
}

/** Returns the specification with the command. */
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

/** Records the command, for later starts. Returns undefined if the container has been removed. */
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
    if (error instanceof SystemError && error.code === "EPIPE") throw notRunning(record, "has exited");
    throw error;
  }
  return recorded;
}

/** Prepares a container: see `prepare` of `lib/api/containers.ts`. */
export async function prepare(image: string, options: RunOptions): Promise<PreparedContainer> {
  options.signal?.throwIfAborted();
  checkOptions([], options);
  checkAttached(options);
  const folders = findFolders(options), { containers } = folders;
  const found = await resolveImage(image, folders.images, { ...options, containers });
  let plan: Plan<RunOptions>, started: RunningContainer<PreparedProcess>;
  try {
    const { spec, ...planned } = await planContainer(found, PLACEHOLDER, options, containers);
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
      over = "has a command already";
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
