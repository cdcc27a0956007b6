/**
 * From a Dockerfile to stages that are ready to be built: which are needed, what they begin with, what their steps come
 * to. Their images are in the store then; nothing else has been made.
 *
 * @module
 */

import { listed } from "../text/listed.ts";
import { formatPlatform, hostPlatform, MAX_LAYERS, parsePlatform, type Platform } from "../oci.ts";
import type { NewLayer } from "../image/exchange/write_image.ts";
import { type Dockerfile, type Stage, stageNumber } from "./dockerfile.ts";
import { evaluate, type Evaluated, type ResolvedStep } from "./evaluate.ts";
import { baseOf, type Given, globalArgs, PROXIES, type Values } from "./variables.ts";
import { located, malformed, type Position, wrong } from "./problems.ts";
import { objectOf, type Settings, textsOf } from "./settings.ts";

const MOST_NAMED = 20;

/** An image that a stage begins with, or that files are copied from. */
export interface Base {
  /** Its configuration as JSON. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Its layers, lowest first; of a directory they are only made now. */
  layers(): Promise<readonly NewLayer[]>;
  /** How many those are. Default: one. */
  readonly layerCount?: number;
}

/** Source of the files of a COPY: a stage, by number, or an image. */
export type From = { readonly stage: number } | { readonly base: Base; readonly name: string };

/** A stage that is ready to be built. */
export interface PlannedStage extends Evaluated {
  /** Its number. */
  readonly number: number;
  /** The FROM as people read it, its image's name without variables. */
  readonly text: string;
  /** How many layers its image can have. */
  readonly layerCount: number;
  /** Base: an earlier stage, by number, or an image. */
  readonly base: number | Base;
  /** Images and stages named by COPY --from. */
  readonly sources: ReadonlyMap<string, From>;
}

/** Options of a build that affect its plan. */
export interface Wishes {
  /** Values of arguments. */
  readonly buildArgs: Values;
  /** The stage to build. Default: the last. */
  readonly target?: string;
  /** The platform. Default: this one. */
  readonly platform?: string;
}

/** Finds an image, or pulls it. */
export type FindBase = (name: string, platform: string | undefined) => Promise<Base>;

function automaticArgs(platform: string | undefined): Values {
  const values = (prefix: string, { os, architecture, variant = "" }: Platform): [string, string][] => [
    [`${prefix}PLATFORM`, formatPlatform({ os, architecture, ...(variant ? { variant } : {}) })],
    [`${prefix}OS`, os],
    [`${prefix}ARCH`, architecture],
    [`${prefix}VARIANT`, variant],
  ];
  const target = platform === undefined ? hostPlatform() : parsePlatform(platform);
  return Object.fromEntries([...values("TARGET", target), ...values("BUILD", hostPlatform())]);
}

/** Arguments that the user gave and no ARG asks for. */
export function unusedArgs({ globals, stages }: Dockerfile, buildArgs: Values): string[] {
  const steps = [...globals, ...stages.flatMap((stage) => stage.steps)];
  const declared = new Set(steps.flatMap((step) => step.kind === "ARG" ? step.args.map(([name]) => name) : []));
  return Object.keys(buildArgs).filter((name) => !declared.has(name) && !PROXIES.has(name));
}

function targetOf(dockerfile: Dockerfile, target: string | undefined): number {
  const { file, stages } = dockerfile;
  if (target === undefined) return stages.length - 1;
  const number = stageNumber(dockerfile, target, stages.length);
  if (number !== undefined) return number;
  const names = listed(stages.map(({ name }, i) => name ?? String(i)), MOST_NAMED);
  throw wrong(
    { file, line: stages[0]?.line ?? 1 },
    `there is no stage ${target}`,
    "unknown-stage",
    `there is: ${names}`,
  );
}

/** Returns the stages that the stage `target` needs, by number, and itself; with what each begins with. */
function neededStages(
  dockerfile: Dockerfile,
  target: number,
  imageOf: (stage: Stage) => { image: string },
): Map<number, number | undefined> {
  const needed = new Map<number, number | undefined>(), open = [target];
  for (let number = open.pop(); number !== undefined; number = open.pop()) {
    const stage = dockerfile.stages[number];
    if (!stage || needed.has(number)) continue;
    const { image } = imageOf(stage), named = /^\d+$/.test(image) ? undefined : stageNumber(dockerfile, image, number);
    needed.set(number, named);
    if (named !== undefined) open.push(named);
    for (const step of stage.steps) {
      const from = step.kind === "COPY" && step.from !== undefined && stageNumber(dockerfile, step.from, number);
      if (typeof from === "number") open.push(from);
    }
  }
  return new Map([...needed].sort(([a], [b]) => a - b));
}

function settingsOf({ config }: Base): Settings {
  return objectOf(config.config);
}

function checkTriggers(at: Position, image: string, base: Base): void {
  const triggers = textsOf(settingsOf(base).OnBuild) ?? [];
  if (triggers.length === 0) return;
  throw malformed(
    at,
    `${image} has ONBUILD instructions, which are not carried out: ${listed(triggers)}`,
    "write them into the Dockerfile, and begin with an image without them",
  );
}

/** Returns the number of layers the steps of a stage come to on those below. Throws for more than an image may have. */
function countLayers(below: number, tasks: readonly ResolvedStep[]): number {
  const making = tasks.filter(({ action: { kind } }) => kind === "run" || kind === "copy");
  const first = making[MAX_LAYERS - below];
  if (first === undefined) return below + making.length;
  throw malformed(
    first,
    `the image would have more than ${MAX_LAYERS} layers`,
    "join commands by &&, or copy several files at once",
  );
}

/**
 * Plans a build, and finds all images that it needs.
 *
 * @throws {InputError} for what is wrong with the Dockerfile.
 * @throws {ImageError} for images that cannot be had.
 */
export async function planBuild(dockerfile: Dockerfile, wishes: Wishes, findBase: FindBase): Promise<PlannedStage[]> {
  const { escape, stages } = dockerfile;
  const given: Given = { buildArgs: wishes.buildArgs, automatic: automaticArgs(wishes.platform) };
  const globals = globalArgs(dockerfile, given), target = targetOf(dockerfile, wishes.target);
  const imageOf = (stage: Stage) => baseOf(stage, globals, given, escape);
  const planned = new Map<number, PlannedStage>(), bases = new Map<string, Base>();

  async function find(at: Position, name: string, platform = wishes.platform): Promise<Base> {
    const key = `${platform} ${name}`, known = bases.get(key);
    if (known) return known;
    try {
      const base = await findBase(name, platform);
      bases.set(key, base);
      return base;
    } catch (error) {
      throw located(at, error);
    }
  }

  async function sourcesOf(number: number, stage: Stage): Promise<Map<string, From>> {
    const sources = new Map<string, From>();
    for (const step of stage.steps) {
      if (step.kind !== "COPY" || step.from === undefined) continue;
      const { from } = step, earlier = stageNumber(dockerfile, from, number);
      sources.set(from, earlier === undefined ? { base: await find(step, from), name: from } : { stage: earlier });
    }
    return sources;
  }

  for (const [number, named] of neededStages(dockerfile, target, imageOf)) {
    const stage = stages[number];
    if (!stage) continue;
    const parent = named === undefined ? undefined : planned.get(named), { image, platform } = imageOf(stage);
    const base = named ?? await find(stage, image, platform);
    if (typeof base !== "number") checkTriggers(stage, image, base);
    const sources = await sourcesOf(number, stage);
    const settings = parent?.settings ?? (typeof base === "number" ? {} : settingsOf(base));
    const evaluated = evaluate(stage, settings, parent?.args ?? {}, globals, given, escape);
    const below = parent?.layerCount ?? (typeof base === "number" ? 0 : base.layerCount ?? 1);
    const layerCount = countLayers(below, evaluated.tasks), text = stage.text.replace(stage.image, () => image);
    planned.set(number, { ...evaluated, number, text, base, layerCount, sources });
  }
  return [...planned.values()];
}
