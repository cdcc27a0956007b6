/**
 * Building one stage: its steps, one after the other.
 *
 * @module
 */

import { Fd } from "../../ffi/fs/fd.ts";
import { flags } from "../../ffi/program/flags.ts";
import { close, openIn } from "../../ffi/fs/fs.ts";
import { openImage } from "../container/files/rootfs_mount.ts";
import type { RunOptions } from "../container/attached/create.ts";
import type { Folders } from "../host/folders.ts";
import type { Spool } from "../image/exchange/spool.ts";
import type { NewLayer } from "../image/exchange/write_image.ts";
import { digestOf, type HistoryEntry } from "../oci.ts";
import { failedWith } from "../tar/tree.ts";
import { foldersOf } from "./base.ts";
import { lookupCache, type Made, storeCache } from "./cache.ts";
import type { Context } from "./context.ts";
import { contentOfTask, copyInto, type CopyTask, ownerOf } from "./copy.ts";
import { draftLayer, type DraftOptions, noLater } from "./draft.ts";
import type { ResolvedStep, StepAction } from "./evaluate.ts";
import { PROXIES } from "./variables.ts";
import { findSources, type Origin, type Source } from "./origin.ts";
import { NOTHING_IGNORED } from "./pattern.ts";
import type { PlannedStage } from "./plan.ts";
import { checkTarget, located, malformed } from "./problems.ts";
import { type OnOutput, runStep } from "./run_step.ts";
import { objectOf, type Settings, textOf } from "./settings.ts";

/** A stage that was built. */
export interface Built {
  /** The configuration that it began with, as JSON. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Container config of its image. */
  readonly settings: Settings;
  /** Its layers, lowest first. */
  readonly layers: readonly NewLayer[];
  /** How it was made; what has no time was made with what comes next. */
  readonly history: readonly HistoryEntry[];
  /** When the last of it was made, as an RFC 3339 time. Default: nothing was, on an image that does not say. */
  readonly created?: string;
}

/** Options of building a stage. */
export interface StageOptions extends Pick<RunOptions, "network" | "limits"> {
  /** Directory for temporary files. */
  readonly spool: Spool;
  /** The directories of images and containers. */
  readonly folders: Folders;
  /** The directory that is built of. */
  readonly context: Context;
  /** Whether the cache is used. */
  readonly cache: boolean;
  /** Image name in containers' records. */
  readonly name: string;
  /** The latest time that anything has, in nanoseconds since the epoch. Default: no limit. */
  readonly latest?: bigint;
  /** Reports the beginning of a step; returns its name in errors. */
  readonly tell: (text: string, cached?: boolean) => string;
  /** Called with the output of commands. */
  readonly onOutput?: OnOutput;
  /** Aborts the work. */
  readonly signal?: AbortSignal;
}

const FOLDER = flags("O", "PATH", "DIRECTORY");
/** Changes when the same instructions come to other layers. */
const VERSION = 2;
type ActionOf<Kind extends StepAction["kind"]> = Extract<StepAction, { kind: Kind }>;
const MILLISECOND = 1_000_000n;

function nanoseconds(time: string): bigint {
  return BigInt(Date.parse(time) || 0) * MILLISECOND;
}

function withoutProxies(env: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(env).filter(([name]) => !PROXIES.has(name)).sort(([a], [b]) => a < b ? -1 : 1);
}

function historyOf(config: Built["config"]): readonly HistoryEntry[] {
  const { history } = config;
  return Array.isArray(history) ? history : [];
}

function hasFolder(folder: string, lower: readonly string[], path: string): boolean {
  if (lower.length === 0) return path === "/";
  using top = new Fd(openImage(folder, lower));
  try {
    close(openIn(top.number, path, FOLDER));
    return true;
  } catch (error) {
    if (failedWith(error, "ENOENT")) return false;
    throw error;
  }
}

/** State of building a stage. */
interface Building {
  readonly options: StageOptions;
  readonly stage: PlannedStage;
  /** Stages built before it, by number. */
  readonly built: ReadonlyMap<number, Built>;
  readonly layers: NewLayer[];
  readonly history: HistoryEntry[];
  /** Time of directories created on the way, which does not depend on the clock. */
  readonly time: bigint;
  created?: string;
}

function emptyFolder({ options: { spool } }: Building): string {
  const folder = spool.newPath();
  Deno.mkdirSync(folder, { mode: 0o755 });
  return folder;
}

function lowerOf({ options: { spool, signal }, layers }: Building): Promise<string[]> {
  return foldersOf(spool.store, layers, signal);
}

function draftOptions({ options: { signal, latest }, time }: Building): DraftOptions {
  return { time, signal, ...(latest === undefined ? {} : { latest }) };
}

async function keyOf({ options: { latest }, layers }: Building, ...parts: unknown[]): Promise<string> {
  const all = [VERSION, String(latest), layers.map(({ diffId }) => diffId), ...parts];
  return await digestOf(new TextEncoder().encode(JSON.stringify(all)));
}

function addHistory({ created, history }: Building, { createdBy }: ResolvedStep, empty: boolean): void {
  const when = created === undefined ? {} : { created };
  history.push({ ...when, created_by: createdBy, ...(empty ? { empty_layer: true } : {}) });
}

function now({ options: { latest } }: Building): string {
  const limit = latest === undefined ? Infinity : Number(latest / MILLISECOND);
  return new Date(Math.min(Date.now(), limit)).toISOString();
}

/** Runs a step unless the cache has its layer. */
async function runCached(
  building: Building,
  task: ResolvedStep,
  key: string,
  work: (step: string) => Promise<NewLayer | undefined>,
): Promise<void> {
  const { cache, tell, spool: { store } } = building.options, known = cache ? lookupCache(store, key) : undefined;
  const step = tell(task.text, known !== undefined);
  const layer = known ? known.layer : await work(step);
  const made: Made = known ?? { created: now(building), ...(layer ? { layer } : {}) };
  if (!known) storeCache(store, key, made);
  if (layer) building.layers.push(layer);
  building.created = made.created;
  addHistory(building, task, layer === undefined);
}

async function run(building: Building, task: ResolvedStep, action: ActionOf<"run">): Promise<void> {
  const { options } = building, { command, env, cwd, user } = action;
  const key = await keyOf(building, "run", command, withoutProxies(env), cwd, user);
  await runCached(building, task, key, async (step) => {
    const lower = await lowerOf(building), pack = { signal: options.signal, ...noLater(options.latest) };
    // An overlay needs a lower directory.
    const below = lower.length > 0 ? lower : [emptyFolder(building)];
    return await runStep(options.spool, task, step, action, { ...options, lower: below, pack });
  });
}

async function createFolder(building: Building, task: ResolvedStep, action: ActionOf<"folder">): Promise<void> {
  const { path, user } = action, key = await keyOf(building, "folder", path, user);
  await runCached(building, task, key, async () => {
    const lower = await lowerOf(building);
    if (hasFolder(emptyFolder(building), lower, path)) return undefined;
    const owner = ownerOf(lower, user), how = { ...draftOptions(building), ...(owner ? { owner } : {}) };
    const { spool } = building.options;
    return await draftLayer(spool, lower, how, ({ openFolder }) => Promise.resolve(close(openFolder(path))));
  });
}

async function copyFrom(
  building: Building,
  task: ResolvedStep,
  action: ActionOf<"copy">,
  sources: readonly Source[],
  origin: Origin,
): Promise<void> {
  const { options: { spool, signal }, time } = building, { kind, target, chown, chmod, files } = action.copy;
  const copied: CopyTask = { ...task, kind, target, chown, chmod, files, origin, sources };
  const content = await contentOfTask(copied, signal);
  const key = await keyOf(building, "copy", kind, target, chown, chmod, files, content);
  await runCached(building, task, key, async () => {
    const lower = await lowerOf(building), owner = ownerOf(lower, chown) ?? { uid: 0, gid: 0 };
    const how = { ...draftOptions(building), owner };
    const layer = await draftLayer(spool, lower, how, (draft) => copyInto(copied, draft, { owner, time, signal }));
    const after = origin.isContext ? await contentOfTask(copied, signal) : content;
    if (String(after) === String(content)) return layer;
    throw malformed(task, `${origin.name} was changed while it was copied`, "try again when nobody writes to it");
  });
}

async function copy(building: Building, task: ResolvedStep, action: ActionOf<"copy">): Promise<void> {
  const { options: { context, spool, signal }, stage, built } = building;
  const { from, sources: patterns, files, target } = action.copy;
  const source = from === undefined ? undefined : stage.sources.get(from);
  if (from === undefined || !source) {
    return await copyFrom(building, task, action, context.sourcesOf(task), context.origin);
  }
  const layers = "stage" in source ? built.get(source.stage)?.layers ?? [] : await source.base.layers();
  const folder = emptyFolder(building), lower = await foldersOf(spool.store, layers, signal);
  const name = "stage" in source ? `the stage ${from}` : `the image ${from}`;
  using top = new Fd(openImage(folder, lower.length > 0 ? lower : [folder]));
  const origin: Origin = { top: top.number, name, ignored: NOTHING_IGNORED, isContext: false };
  let found: Source[] = [];
  try {
    found = await findSources(task, origin, patterns, signal);
    checkTarget(task, found.length + files.length, target);
    await copyFrom(building, task, action, found, origin);
  } finally {
    for (const { fd } of found) close(fd);
  }
}

async function perform(building: Building, task: ResolvedStep): Promise<void> {
  const { signal, tell } = building.options, { action } = task;
  signal?.throwIfAborted();
  if (action.kind === "run") return await run(building, task, action);
  if (action.kind === "copy") return await copy(building, task, action);
  if (action.kind === "folder") return await createFolder(building, task, action);
  tell(task.text);
  addHistory(building, task, true);
}

/** Builds a stage; `built` are the stages before it, by number. */
export async function buildStage(
  stage: PlannedStage,
  built: ReadonlyMap<number, Built>,
  options: StageOptions,
): Promise<Built> {
  const { base, text, tasks, settings } = stage, isStage = typeof base === "number";
  const begun = isStage ? built.get(base) : undefined, config = begun?.config ?? (isStage ? {} : base.config);
  const building: Building = {
    options,
    stage,
    built,
    layers: [...begun?.layers ?? (isStage ? [] : await base.layers())],
    history: [...begun?.history ?? historyOf(config)],
    time: nanoseconds(textOf(config.created) ?? ""),
    created: begun?.created ?? textOf(config.created),
  };
  options.tell(text);
  for (const task of tasks) {
    try {
      await perform(building, task);
    } catch (error) {
      throw located(task, error);
    }
  }
  const { layers, history, created } = building;
  return { config, settings: objectOf(settings), layers, history, ...(created === undefined ? {} : { created }) };
}
