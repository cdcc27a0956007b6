/**
 * Evaluation of a build stage without executing it: expands variables, makes paths absolute and accumulates the image
 * config. Pure.
 *
 * @module
 */

import { PATH } from "../container/spec/spec.ts";
import { InputError } from "../errors.ts";
import { signalNumber } from "../host/signals.ts";
import { MAX_DOCUMENT_BYTES } from "../oci.ts";
import { absolute } from "../container/spec/image_settings.ts";
import type { Stage, Step } from "./dockerfile.ts";
import type { Command, Copy } from "./instructions.ts";
import { malformed, type Position } from "./problems.ts";
import { exposedPorts, type NameSet, objectOf, type Settings, textOf, textsOf } from "./settings.ts";
import { expandAt, type Given, lookupIn, PROXIES, type Values, type Variables, variablesFrom } from "./variables.ts";
import { expandText } from "./words.ts";

/** Action of a step. */
export type StepAction =
  | { readonly kind: "nothing" }
  | {
    readonly kind: "run";
    readonly command: readonly string[];
    readonly env: Values;
    readonly cwd: string;
    readonly user?: string;
  }
  | {
    readonly kind: "copy";
    readonly copy: Copy & { readonly files: readonly { readonly name: string; readonly text: string }[] };
  }
  | { readonly kind: "folder"; readonly path: string; readonly user?: string };

/** A step, ready to be done. */
export interface ResolvedStep extends Position {
  /** The instruction as it is written. */
  readonly text: string;
  /** Text in the image's history. */
  readonly createdBy: string;
  /** Its action. */
  readonly action: StepAction;
}

/** Result of evaluating a stage. */
export interface Evaluated {
  /** Its steps. */
  readonly tasks: readonly ResolvedStep[];
  /** Container config of its image. */
  readonly settings: Settings;
  /** The values of its arguments. */
  readonly args: Values;
}

const SHELL = ["/bin/sh", "-c"];

/** Steps that can be of a kind. */
type StepOf<Kind, One extends Step = Step> = One extends Step ? [One["kind"] & Kind] extends [never] ? never : One
  : never;

/** State of the evaluation of a stage. */
interface Evaluation {
  readonly given: Given;
  readonly globals: Values;
  readonly escape: string;
  readonly variables: Variables;
  readonly settings: Record<string, unknown>;
  /** Settings that are sets of names, which many steps add to. */
  readonly names: Map<NameSet, Map<string, unknown>>;
  /** Whether CMD was given: ENTRYPOINT resets the base image's only. */
  commandSet: boolean;
  envSet: boolean;
  /** Number of characters of the config and history. */
  length: number;
}

function lookup({ variables: { env, args } }: Evaluation, name: string): string | undefined {
  return env.get(name) ?? args.get(name) ?? (name === "PATH" ? PATH : undefined);
}

function expand(state: Evaluation, at: Position, text: string, how?: typeof expandText): string {
  return expandAt(at, text, (name) => lookup(state, name), state.escape, how);
}

/** Counts texts of the config: variables that double with each step would exceed any memory. */
function count(state: Evaluation, at: Position, texts: readonly string[]): void {
  for (const { length } of texts) state.length += length;
  if (state.length <= MAX_DOCUMENT_BYTES) return;
  throw malformed(at, `variables and history exceed ${MAX_DOCUMENT_BYTES >> 20} MiB`);
}

function commandWords({ settings }: Evaluation, command: Command): readonly string[] {
  return "words" in command ? command.words : [...textsOf(settings.Shell) ?? SHELL, command.line];
}

function workingDirectory({ settings }: Evaluation): string {
  return absolute(textOf(settings.WorkingDir) ?? "/");
}

function absolutePath(state: Evaluation, path: string): string {
  return absolute(path.startsWith("/") ? path : `${workingDirectory(state)}/${path}`);
}

function userOf({ settings }: Evaluation): { user?: string } {
  const user = textOf(settings.User);
  return user === undefined ? {} : { user };
}

function addNames(state: Evaluation, key: NameSet, entries: Iterable<readonly [string, unknown]>): void {
  const { names, settings } = state, known = names.get(key) ?? new Map(Object.entries(objectOf(settings[key])));
  if (!names.has(key)) settings[key] = {};
  names.set(key, known);
  for (const [name, value] of entries) known.set(name, value);
}

function resolved(state: Evaluation, step: Step, createdBy: string, action?: StepAction): ResolvedStep {
  count(state, step, [createdBy]);
  return { ...step, createdBy, action: action ?? { kind: "nothing" } };
}

function resolveRun(state: Evaluation, step: StepOf<"RUN">): ResolvedStep {
  const { variables } = state, command = commandWords(state, step.command), environment = variables.environment();
  for (const [name, value] of variables.args) count(state, step, [name, value]);
  count(state, step, command);
  const used = [...variables.args].map(([name, value]) => `${name}=${value}`);
  const shown = used.length ? `|${used.length} ${used.join(" ")} ` : "";
  return {
    ...step,
    createdBy: `RUN ${shown}${command.join(" ")}`,
    action: {
      kind: "run",
      command,
      get env() {
        return environment();
      },
      cwd: workingDirectory(state),
      ...userOf(state),
    },
  };
}

/** Resolves the here-documents of COPY and ADD, which become files. */
function resolveDocuments(state: Evaluation, step: StepOf<"COPY" | "ADD">): { name: string; text: string }[] {
  return step.documents.map(({ name, text: written, expand: expanded }) => {
    if (name.includes("/") || name === "." || name === "..") throw malformed(step, `invalid file name ${name}`);
    const text = expanded ? expand(state, step, written, expandText) : written;
    count(state, step, [text]);
    return { name, text };
  });
}

function resolveCopy(state: Evaluation, step: StepOf<"COPY" | "ADD">): ResolvedStep {
  const directory = expand(state, step, step.target), path = absolutePath(state, directory);
  const target = /(^|\/)\.?$/.test(directory) && path !== "/" ? `${path}/` : path;
  const chmod = step.chmod && expand(state, step, step.chmod), chown = step.chown && expand(state, step, step.chown);
  if (chmod && !/^0?[0-7]{1,4}$/.test(chmod)) {
    throw malformed(step, `invalid mode ${JSON.stringify(chmod)}`, "use an octal mode, such as 755");
  }
  const files = resolveDocuments(state, step), sources = step.sources.map((source) => expand(state, step, source));
  const empty = sources.indexOf("");
  if (empty >= 0) throw malformed(step, `${step.sources[empty]} is empty`, "give the variable a value");
  count(state, step, sources);
  const named = [...sources, ...files.map(({ name }) => `<<${name}`), target];
  const options = [
    ...step.from === undefined ? [] : [`--from=${step.from}`],
    ...chown ? [`--chown=${chown}`] : [],
    ...chmod ? [`--chmod=${chmod}`] : [],
  ];
  return {
    ...step,
    createdBy: [step.kind, ...options, ...named].join(" "),
    action: { kind: "copy", copy: { ...step, sources, target, files, chmod, chown } },
  };
}

function resolvePairs(state: Evaluation, step: StepOf<"ENV" | "LABEL">): ResolvedStep {
  const pairs = step.pairs.map(([name, value]) => [expand(state, step, name), expand(state, step, value)] as const);
  if (pairs.some(([name]) => name === "")) throw malformed(step, `empty name in ${step.kind}`);
  for (const pair of pairs) count(state, step, pair);
  if (step.kind === "LABEL") addNames(state, "Labels", pairs);
  else for (const [name, value] of pairs) state.variables.set("env", name, value);
  state.envSet ||= step.kind === "ENV";
  return resolved(state, step, `${step.kind} ${pairs.map(([name, value]) => `${name}=${value}`).join(" ")}`);
}

function resolveArgs(state: Evaluation, step: StepOf<"ARG">): ResolvedStep {
  const { given: { buildArgs, automatic }, globals, variables } = state;
  for (const [name, text] of step.args) {
    const value = lookupIn(buildArgs)(name) ?? (text === undefined ? undefined : expand(state, step, text)) ??
      lookupIn(globals, automatic)(name);
    if (value === undefined) continue;
    count(state, step, [name, value]);
    variables.set("arg", name, value);
  }
  return resolved(state, step, step.text);
}

function resolveWorkdir(state: Evaluation, step: StepOf<"WORKDIR">): ResolvedStep {
  const path = absolutePath(state, expand(state, step, step.word));
  state.settings.WorkingDir = path;
  return resolved(state, step, `WORKDIR ${path}`, { kind: "folder", path, ...userOf(state) });
}

function resolveUser(state: Evaluation, step: StepOf<"USER">): ResolvedStep {
  const name = expand(state, step, step.word);
  if (name === "") throw malformed(step, `empty user name in USER ${step.word}`);
  state.settings.User = name;
  return resolved(state, step, `USER ${name}`);
}

function resolveCommand(state: Evaluation, step: StepOf<"CMD" | "ENTRYPOINT">): ResolvedStep {
  const { settings } = state, words = commandWords(state, step.command);
  if (step.kind === "CMD") [settings.Cmd, state.commandSet] = [words, true];
  else Object.assign(settings, { Entrypoint: words }, state.commandSet ? {} : { Cmd: null });
  return resolved(state, step, `${step.kind} ${JSON.stringify(words)}`);
}

function resolveExpose(state: Evaluation, step: StepOf<"EXPOSE">): ResolvedStep {
  const words = step.words.flatMap((word) => expand(state, step, word).split(/\s+/).filter(Boolean));
  const ports = exposedPorts(step, words);
  addNames(state, "ExposedPorts", Object.entries(ports));
  return resolved(state, step, `EXPOSE ${Object.keys(ports).join(" ")}`);
}

function resolveVolumes(state: Evaluation, step: StepOf<"VOLUME">): ResolvedStep {
  const paths = step.words.map((word) => expand(state, step, word));
  addNames(state, "Volumes", paths.map((path) => [path, {}] as const));
  return resolved(state, step, `VOLUME ${JSON.stringify(paths)}`);
}

function resolveShell(state: Evaluation, step: StepOf<"SHELL">): ResolvedStep {
  state.settings.Shell = step.words;
  return resolved(state, step, `SHELL ${JSON.stringify(step.words)}`);
}

function resolveStopSignal(state: Evaluation, step: StepOf<"STOPSIGNAL">): ResolvedStep {
  const signal = expand(state, step, step.word);
  try {
    signalNumber(signal);
  } catch (error) {
    throw error instanceof InputError ? malformed(step, error.message, error.hint) : error;
  }
  state.settings.StopSignal = signal;
  return resolved(state, step, `STOPSIGNAL ${signal}`);
}

function resolveStep(state: Evaluation, step: Step): ResolvedStep {
  switch (step.kind) {
    case "RUN":
      return resolveRun(state, step);
    case "COPY":
    case "ADD":
      return resolveCopy(state, step);
    case "ENV":
    case "LABEL":
      return resolvePairs(state, step);
    case "ARG":
      return resolveArgs(state, step);
    case "WORKDIR":
      return resolveWorkdir(state, step);
    case "USER":
      return resolveUser(state, step);
    case "CMD":
    case "ENTRYPOINT":
      return resolveCommand(state, step);
    case "EXPOSE":
      return resolveExpose(state, step);
    case "VOLUME":
      return resolveVolumes(state, step);
    case "SHELL":
      return resolveShell(state, step);
    case "STOPSIGNAL":
      return resolveStopSignal(state, step);
  }
}

/** Evaluates a stage on an image's config `base`. `inherited` are the arguments of the stage that it begins with. */
export function evaluate(
  { steps }: Stage,
  base: Settings,
  inherited: Values,
  globals: Values,
  given: Given,
  escape: string,
): Evaluated {
  const { OnBuild: _, ...settings }: Record<string, unknown> = base;
  const proxies = Object.fromEntries(Object.entries(given.buildArgs).filter(([name]) => PROXIES.has(name)));
  const variables = variablesFrom(inherited, settings, proxies), names: Evaluation["names"] = new Map();
  const rest = { commandSet: false, envSet: false, length: 0 };
  const state: Evaluation = { given, globals, escape, variables, settings, names, ...rest };
  const tasks = steps.map((step) => resolveStep(state, step));
  for (const [key, known] of names) settings[key] = Object.fromEntries(known);
  if (state.envSet) settings.Env = [...variables.env].map(([name, value]) => `${name}=${value}`);
  return { tasks, settings, args: Object.fromEntries(variables.args) };
}
