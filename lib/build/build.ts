/**
 * Building an image of a Dockerfile.
 *
 * @module
 */

import type { PullPolicy } from "../store/image.ts";
import type { RunOptions } from "../container/attached/create.ts";
import { InputError } from "../errors.ts";
import type { Folders } from "../host/folders.ts";
import { selectNetwork } from "../network/selection.ts";
import { newName } from "../image/exchange/import.ts";
import { type Spool, withSpool } from "../image/exchange/spool.ts";
import { writeDocuments } from "../image/exchange/write_image.ts";
import type { LayerProgress } from "../store/ensure_layers.ts";
import type { Descriptor } from "../oci.ts";
import { noteUser, setName, storeFolder } from "../store/store.ts";
import { findBase } from "./base.ts";
import { type Dockerfile, parseDockerfile } from "./dockerfile.ts";
import { checkTasks, type Context, openContext, readDockerfile } from "./context.ts";
import { planBuild, type PlannedStage, unusedArgs } from "./plan.ts";
import { buildStage, type Built } from "./stage.ts";

/** How far a build is. */
export interface BuildProgress {
  /** The number of the step, from 1. */
  readonly step: number;
  /** How many there are. */
  readonly steps: number;
  /** The instruction. */
  readonly text: string;
  /** Whether what it makes was there already. */
  readonly cached: boolean;
}

/** How to build an image. All are optional. */
export interface BuildOptions extends Pick<RunOptions, "network" | "limits"> {
  /** Names for the image. Default: none; only what its steps made is kept then, for later builds. */
  readonly names?: readonly string[];
  /** The Dockerfile; relative to the working directory. Default: `Dockerfile` or `Containerfile` of the context. */
  readonly file?: string;
  /** The text of the Dockerfile, instead of a file. */
  readonly text?: string;
  /** Values of ARGs. */
  readonly buildArgs?: Readonly<Record<string, string>>;
  /** The stage to build, by name or number. Default: the last. */
  readonly target?: string;
  /** Whether steps that were done before are not done again. Default: true. */
  readonly cache?: boolean;
  /** When to pull images. Default: `missing`. */
  readonly pull?: PullPolicy;
  /** The platform as `OS/ARCHITECTURE[/VARIANT]`. Default: this one. */
  readonly platform?: string;
  /** The latest time, in seconds since the epoch, that anything in the image has. Default: `$SOURCE_DATE_EPOCH`. */
  readonly sourceDateEpoch?: number;
  /** Aborts the work; a command that runs is killed. */
  readonly signal?: AbortSignal;
  /** Called with the progress of pulls. */
  readonly onPull?: (progress: LayerProgress) => void;
  /** Called at the beginning of each step. */
  readonly onProgress?: (progress: BuildProgress) => void;
  /** Called with the output of commands. */
  readonly onOutput?: (bytes: Uint8Array<ArrayBuffer>) => void;
  /** Called with warnings. */
  readonly onWarning?: (message: string) => void;
}

/** An image that was built. */
export interface BuiltImage {
  /** Its full names. */
  readonly names: readonly string[];
  /** Its manifest. */
  readonly descriptor: Descriptor;
}

function epochOf({ sourceDateEpoch }: BuildOptions): number | undefined {
  const text = sourceDateEpoch ?? Deno.env.get("SOURCE_DATE_EPOCH");
  if (text === undefined || text === "") return undefined;
  const seconds = Number(text);
  if (Number.isSafeInteger(seconds) && seconds >= 0) return seconds;
  throw new InputError(`invalid SOURCE_DATE_EPOCH ${JSON.stringify(text)}: not a number of seconds`, {
    code: "bad-time",
    facts: { value: text },
  });
}

async function writeBuilt(store: string, built: Built, latest: number | undefined): Promise<Descriptor> {
  const { config, settings, layers } = built, now = Math.min(Date.now(), (latest ?? Infinity) * 1000);
  const created = built.created ?? new Date(now).toISOString();
  const history = built.history.map((entry) => ({ created, ...entry }));
  return await writeDocuments(store, { ...config, created, config: settings, history }, layers);
}

async function buildStages(
  spool: Spool,
  folders: Folders,
  context: Context,
  stages: readonly PlannedStage[],
  options: BuildOptions,
  epoch: number | undefined,
): Promise<Built | undefined> {
  const built = new Map<number, Built>();
  const steps = stages.reduce((sum, { tasks }) => sum + tasks.length + 1, 0);
  const { names = [], onProgress, cache = true, ...rest } = options;
  let step = 0, last: Built | undefined;
  const tell = (text: string, cached = false): string => {
    step++;
    onProgress?.({ step, steps, text, cached });
    return `[${step}/${steps}] ${text}`;
  };
  for (const stage of stages) {
    last = await buildStage(stage, built, {
      ...rest,
      spool,
      folders,
      context,
      cache,
      name: names[0] ?? "build",
      tell,
      ...(epoch === undefined ? {} : { latest: BigInt(epoch) * 1_000_000_000n }),
    });
    built.set(stage.number, last);
  }
  return last;
}

/** Rejects what can be refused before images are looked for. */
async function checkEarly(dockerfile: Dockerfile, context: Context, options: BuildOptions): Promise<void> {
  const { buildArgs = {}, onWarning, signal } = options;
  await checkTasks(dockerfile, context, signal);
  const unused = unusedArgs(dockerfile, buildArgs);
  if (unused.length > 0) onWarning?.(`no ARG asks for ${unused.join(", ")}`);
}

/**
 * Builds an image of a Dockerfile and the directory `folder`, its context. Everything is checked before anything is made.
 * Steps that were done before, on the same image with the same files, are not done again.
 *
 * @throws {InputError} for what is wrong with the Dockerfile, with its line.
 * @throws {ImageError} if an image that it needs cannot be had, and `run-failed` for a command that fails. There is no new
 *   image then.
 */
export async function buildImage(folders: Folders, folder: string, options: BuildOptions = {}): Promise<BuiltImage> {
  const { buildArgs = {}, target, platform, pull, signal, onPull } = options, { images, containers } = folders;
  const names = (options.names ?? []).map(newName);
  const epoch = epochOf(options);
  selectNetwork(options.network === undefined ? {} : { network: options.network });
  using context = openContext(folder, options.text === undefined ? options.file : undefined);
  const { file, text } = readDockerfile(folder, options);
  const dockerfile = parseDockerfile(file, text);
  await checkEarly(dockerfile, context, options);
  return await withSpool(storeFolder(images), async (spool) => {
    const { store } = spool;
    await noteUser(store, containers);
    const find = (name: string, platform?: string) =>
      findBase(spool, images, name, {
        pull,
        signal,
        onProgress: onPull,
        ...(platform === undefined ? {} : { platform }),
      });
    const stages = await planBuild(dockerfile, { buildArgs, target, platform }, find);
    await context.openSources(stages, signal);
    const built = await buildStages(spool, folders, context, stages, options, epoch);
    if (!built) throw new Error("there is no stage");
    signal?.throwIfAborted();
    const descriptor = await writeBuilt(store, built, epoch);
    for (const name of names) setName(store, name, descriptor);
    return { names, descriptor };
  });
}
