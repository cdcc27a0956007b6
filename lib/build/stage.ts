/**
 * Building one stage: its steps, one after the other.
 *
 * @module
 */

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
import { PROXIES, type ResolvedStep, type StepAction } from "./evaluate.ts";
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
  /** What its image says of containers. */
  readonly settings: Settings;
  /** Its layers, lowest first. */
  readonly layers: readonly NewLayer[];
  /** How it was made; what has no time was made with what comes next. */
  readonly history: readonly HistoryEntry[];
  /** When the last of it was made, as an RFC 3339 time. Default: nothing was, on an image that does not say. */
  readonly created?: string;
}

/** What stages are built with. */
export interface StageOptions extends Pick<RunOptions, "network" | "limits"> {
  /** Where files are made. */
  readonly spool: Spool;
  /** The folders of images and containers. */
  readonly folders: Folders;
  /** The folder that is built of. */
  readonly context: Context;
  /** Whether steps that were done before are not done again. */
  readonly cache: boolean;
  /** What containers' records call their image. */
  readonly name: string;
  /** The latest time that anything has, in nanoseconds since the epoch. Default: no limit. */
  readonly latest?: bigint;
  /** Tells of a step; returns how errors call it. */
  readonly tell: (text: string, cached?: boolean) => string;
  /** Hears of what commands write. */
  readonly onOutput?: OnOutput;
  /** Gives up when aborted. */
  readonly signal?: AbortSignal;
}

const FOLDER = flags("O", "PATH", "DIRECTORY");
/** Changes when the same instructions come to other layers. */
const VERSION = 2;
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
  const top = openImage(folder, lower);
  try {
    close(openIn(top, path, FOLDER));
    return true;
  } catch (error) {
    if (failedWith(error, "ENOENT")) return false;
    throw error;
  } finally {
    close(top);
  }
}

/** Builds a stage; `built` are those before it. */
export async function buildStage(
  { base, text, tasks, settings, sources }: PlannedStage,
  built: ReadonlyMap<number, Built>,
  options: StageOptions,
): Promise<Built> {
  const { spool, context, latest, signal, tell } = options, { store } = spool;
  const begun = typeof base === "number" ? built.get(base) : undefined;
  const config = begun?.config ?? (typeof base === "number" ? {} : base.config);
  const now = (): string => {
    const limit = latest === undefined ? Infinity : Number(latest / MILLISECOND);
    return new Date(Math.min(Date.now(), limit)).toISOString();
  };
  // Folders that are made on the way have a time that does not depend on when.
  const time = nanoseconds(textOf(config.created) ?? "");
  const layers: NewLayer[] = [...begun?.layers ?? (typeof base === "number" ? [] : await base.layers())];
  const history: HistoryEntry[] = [...begun?.history ?? historyOf(config)];
  let created = begun?.created ?? textOf(config.created);
  const lowerNow = (): Promise<string[]> => foldersOf(store, layers, signal);
  const emptyFolder = (): string => {
    const folder = spool.newPath();
    Deno.mkdirSync(folder, { mode: 0o755 });
    return folder;
  };
  const draft = (): DraftOptions => ({ time, signal, ...(latest === undefined ? {} : { latest }) });

  async function keyOf(...parts: unknown[]): Promise<string> {
    const all = [VERSION, String(latest), layers.map(({ diffId }) => diffId), ...parts];
    return await digestOf(new TextEncoder().encode(JSON.stringify(all)));
  }

  /** Does a step, unless it was done before. */
  async function once(
    task: ResolvedStep,
    key: string,
    work: (step: string) => Promise<NewLayer | undefined>,
  ): Promise<void> {
    const known = options.cache ? lookupCache(store, key) : undefined;
    const step = tell(task.text, known !== undefined);
    const layer = known ? known.layer : await work(step);
    const made: Made = known ?? { created: now(), ...(layer ? { layer } : {}) };
    if (!known) storeCache(store, key, made);
    if (layer) layers.push(layer);
    created = made.created;
    note(task, layer === undefined);
  }

  function note({ createdBy }: ResolvedStep, empty: boolean): void {
    const when = created === undefined ? {} : { created };
    history.push({ ...when, created_by: createdBy, ...(empty ? { empty_layer: true } : {}) });
  }

  async function run(task: ResolvedStep, deed: Extract<StepAction, { kind: "run" }>): Promise<void> {
    const { command, env, cwd, user } = deed;
    const key = await keyOf("run", command, withoutProxies(env), cwd, user);
    await once(task, key, async (step) => {
      const lower = await lowerNow(), pack = { signal, ...noLater(latest) };
      // An overlay needs something to lie on.
      const below = lower.length > 0 ? lower : [emptyFolder()];
      return await runStep(spool, task, step, deed, { ...options, lower: below, pack });
    });
  }

  async function makeFolder(
    task: ResolvedStep,
    { path, user }: Extract<StepAction, { kind: "folder" }>,
  ): Promise<void> {
    const key = await keyOf("folder", path, user);
    await once(task, key, async () => {
      const lower = await lowerNow();
      if (hasFolder(emptyFolder(), lower, path)) return undefined;
      const owner = ownerOf(lower, user);
      const how = { ...draft(), ...(owner ? { owner } : {}) };
      return await draftLayer(spool, lower, how, ({ openFolder }) => Promise.resolve(close(openFolder(path))));
    });
  }

  async function copyFrom(
    task: ResolvedStep,
    deed: Extract<StepAction, { kind: "copy" }>,
    found: readonly Source[],
    origin: Origin,
  ) {
    const { kind, target, chown, chmod, files } = deed.copy;
    const copied: CopyTask = { ...task, kind, target, chown, chmod, files, origin, sources: found };
    const content = await contentOfTask(copied, signal);
    const key = await keyOf("copy", kind, target, chown, chmod, files, content);
    await once(task, key, async () => {
      const lower = await lowerNow(), owner = ownerOf(lower, chown) ?? { uid: 0, gid: 0 };
      const layer = await draftLayer(
        spool,
        lower,
        { ...draft(), owner },
        (draft) => copyInto(copied, draft, { owner, time, signal }),
      );
      const after = origin.isContext ? await contentOfTask(copied, signal) : content;
      if (String(after) === String(content)) return layer;
      throw malformed(task, `${origin.name} was changed while it was copied`, "try again when nobody writes to it");
    });
  }

  async function copy(task: ResolvedStep, deed: Extract<StepAction, { kind: "copy" }>): Promise<void> {
    const { from, sources: patterns, files, target } = deed.copy,
      source = from === undefined ? undefined : sources.get(from);
    if (from === undefined || !source) return await copyFrom(task, deed, context.sourcesOf(task), context.origin);
    const there = "stage" in source ? built.get(source.stage)?.layers ?? [] : await source.base.layers();
    const folder = emptyFolder(), lower = await foldersOf(store, there, signal);
    const name = "stage" in source ? `the stage ${from}` : `the image ${from}`;
    const top = openImage(folder, lower.length > 0 ? lower : [folder]);
    const origin: Origin = { top, name, ignored: NOTHING_IGNORED, isContext: false };
    let found: Source[] = [];
    try {
      found = await findSources(task, origin, patterns, signal);
      checkTarget(task, found.length + files.length, target);
      await copyFrom(task, deed, found, origin);
    } finally {
      for (const { fd } of found) close(fd);
      close(top);
    }
  }

  async function perform(task: ResolvedStep): Promise<void> {
    signal?.throwIfAborted();
    const { deed } = task;
    if (deed.kind === "run") return await run(task, deed);
    if (deed.kind === "copy") return await copy(task, deed);
    if (deed.kind === "folder") return await makeFolder(task, deed);
    tell(task.text);
    note(task, true);
  }

  tell(text);
  for (const task of tasks) {
    try {
      await perform(task);
    } catch (error) {
      throw located(task, error);
    }
  }
  return { config, settings: objectOf(settings), layers, history, ...(created === undefined ? {} : { created }) };
}
