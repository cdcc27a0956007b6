/**
 * What the steps of a stage come to, given what its image says: variables replaced, paths absolute. Pure.
 *
 * @module
 */

import { PATH } from "../container/spec/spec.ts";
import { InputError } from "../errors.ts";
import { signalNumber } from "../host/signals.ts";
import { MAX_DOCUMENT_BYTES } from "../oci.ts";
import { absolute } from "../container/spec/image_settings.ts";
import type { Dockerfile, Stage, Step } from "./dockerfile.ts";
import type { Command, Copy } from "./instructions.ts";
import { malformed, type Position } from "./problems.ts";
import { exposedPorts, type NameSet, objectOf, type Settings, textOf, textsOf, variablesOf } from "./settings.ts";
import { expandText, expandWord, type Lookup, WordError } from "./words.ts";

/** Variables by name. */
export type Values = Readonly<Record<string, string>>;

/** What ARG instructions can get their values from. */
export interface Given {
  /** What the user gave. */
  readonly buildArgs: Values;
  /** The kind of machine and the like. */
  readonly automatic: Values;
}

/** What a step does. */
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
  /** What the history says. */
  readonly createdBy: string;
  /** What it does. */
  readonly deed: StepAction;
}

/** What a stage comes to. */
export interface Evaluated {
  /** Its steps. */
  readonly tasks: readonly ResolvedStep[];
  /** What its image says of its containers. */
  readonly settings: Settings;
  /** The values of its arguments. */
  readonly args: Values;
}

/** Arguments that need no ARG, and that do not make a step another one. */
export const PROXIES: ReadonlySet<string> = new Set(
  ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"].flatMap((name) => [name, name.toLowerCase()]),
);
const SHELL = ["/bin/sh", "-c"];

/** Replaces the variables of a word; errors tell where it stands. */
export function expandAt(
  at: Position,
  word: string,
  lookup: Lookup,
  escape: string,
  expand: typeof expandWord = expandWord,
): string {
  try {
    return expand(word, lookup, escape);
  } catch (error) {
    throw error instanceof WordError ? malformed(at, error.message) : error;
  }
}

function lookupIn(...values: readonly Values[]): Lookup {
  return (name) => values.find((one) => Object.hasOwn(one, name))?.[name];
}

/** The values of the arguments before the first FROM. */
export function globalArgs({ globals, escape }: Dockerfile, { buildArgs, automatic }: Given): Values {
  const values: Record<string, string> = {};
  for (const step of globals) {
    for (const [name, text] of step.args) {
      const value = lookupIn(buildArgs)(name) ??
        (text === undefined ? undefined : expandAt(step, text, lookupIn(values, automatic), escape)) ??
        lookupIn(automatic)(name);
      if (value !== undefined) values[name] = value;
    }
  }
  return values;
}

/** What a FROM names, variables replaced: the image, and the kind of machine. */
export function baseOf(
  { image, platform, ...at }: Stage,
  globals: Values,
  { automatic }: Given,
  escape: string,
): { image: string; platform?: string } {
  const lookup = lookupIn(globals, automatic);
  const name = expandAt(at, image, lookup, escape);
  if (name === "") throw malformed(at, `FROM ${image} names no image`, "an ARG before it needs a default");
  const kind = platform && expandAt(at, platform, lookup, escape);
  return { image: name, ...(kind ? { platform: kind } : {}) };
}

/** What is known of variables while a stage is evaluated, and at each of its steps afterwards. */
function variablesFrom(inherited: Values, begun: Settings, proxies: Values) {
  const base = { arg: Object.entries(inherited), env: Object.entries(variablesOf(begun)) };
  const args = new Map(base.arg), env = new Map(base.env);
  const changes: { kind: "arg" | "env"; name: string; value: string }[] = [];
  return {
    args,
    env,
    set(kind: "arg" | "env", name: string, value: string): void {
      (kind === "arg" ? args : env).set(name, value);
      changes.push({ kind, name, value });
    },
    /** What makes the environment that a command has here: as it is only made when it is wanted, steps can be many. */
    environment(): () => Values {
      const { length } = changes;
      return () => {
        const all = { arg: new Map(base.arg), env: new Map(base.env) };
        for (const { kind, name, value } of changes.slice(0, length)) all[kind].set(name, value);
        return { ...proxies, ...Object.fromEntries(all.arg), ...Object.fromEntries(all.env) };
      };
    },
  };
}

/** Does in thought what a stage says. `inherited` are the arguments of the stage that it begins with. */
export function evaluate(
  { steps }: Stage,
  base: Settings,
  inherited: Values,
  globals: Values,
  { buildArgs, automatic }: Given,
  escape: string,
): Evaluated {
  const { OnBuild: _, ...settings }: Record<string, unknown> = base;
  const proxies = Object.fromEntries(Object.entries(buildArgs).filter(([name]) => PROXIES.has(name)));
  const variables = variablesFrom(inherited, settings, proxies), { args, env } = variables;
  const names = new Map<NameSet, Map<string, unknown>>();
  let commandSet = false, envSet = false, said = 0;

  const shell = (): readonly string[] => textsOf(settings.Shell) ?? SHELL;
  const wordsOf = (command: Command): readonly string[] =>
    "words" in command ? command.words : [...shell(), command.line];
  const cwd = (): string => absolute(textOf(settings.WorkingDir) ?? "/");
  const inFolder = (path: string): string => absolute(path.startsWith("/") ? path : `${cwd()}/${path}`);
  const user = (): { user?: string } => {
    const name = textOf(settings.User);
    return name === undefined ? {} : { user: name };
  };
  const lookup: Lookup = (name) => env.get(name) ?? args.get(name) ?? (name === "PATH" ? PATH : undefined);

  /** Counts what is said of the image; variables that double each time would be more than fits anywhere. */
  function count(at: Position, texts: readonly string[]): void {
    for (const { length } of texts) said += length;
    if (said <= MAX_DOCUMENT_BYTES) return;
    throw malformed(at, `variables and history have more than ${MAX_DOCUMENT_BYTES >> 20} MiB by now`);
  }

  function add(key: NameSet, entries: Iterable<readonly [string, unknown]>): void {
    const known = names.get(key) ?? new Map(Object.entries(objectOf(settings[key])));
    if (!names.has(key)) settings[key] = {};
    names.set(key, known);
    for (const [name, value] of entries) known.set(name, value);
  }

  function copy(step: Extract<Step, { kind: "COPY" | "ADD" }>, expand: (word: string) => string): ResolvedStep {
    const folder = expand(step.target), path = inFolder(folder);
    const target = /(^|\/)\.?$/.test(folder) && path !== "/" ? `${path}/` : path;
    const chmod = step.chmod && expand(step.chmod), chown = step.chown && expand(step.chown);
    if (chmod && !/^0?[0-7]{1,4}$/.test(chmod)) {
      throw malformed(step, `${JSON.stringify(chmod)} is no mode`, "an octal one, such as 755");
    }
    const files = step.documents.map(({ name, text, expand }) => {
      if (name.includes("/") || name === "." || name === "..") throw malformed(step, `${name} is no name for a file`);
      const content = expand ? expandAt(step, text, lookup, escape, expandText) : text;
      count(step, [content]);
      return { name, text: content };
    });
    const sources = step.sources.map(expand);
    const empty = sources.findIndex((source) => source === "");
    if (empty >= 0) throw malformed(step, `${step.sources[empty]} is empty`, "give the variable a value");
    count(step, sources);
    const from = step.from === undefined ? "" : ` --from=${step.from}`;
    const named = [...sources, ...files.map(({ name }) => `<<${name}`)].join(" ");
    return {
      ...step,
      createdBy: `${step.kind}${from}${chown ? ` --chown=${chown}` : ""}${
        chmod ? ` --chmod=${chmod}` : ""
      } ${named} ${target}`,
      deed: { kind: "copy", copy: { ...step, sources, target, files, chmod, chown } },
    };
  }

  function run(step: Position & { text: string; command: Command }): ResolvedStep {
    const command = wordsOf(step.command), environment = variables.environment();
    for (const [name, value] of args) count(step, [name, value]);
    count(step, command);
    const used = [...args].map(([name, value]) => `${name}=${value}`);
    const shown = used.length ? `|${used.length} ${used.join(" ")} ` : "";
    return {
      ...step,
      createdBy: `RUN ${shown}${command.join(" ")}`,
      deed: {
        kind: "run",
        command,
        get env() {
          return environment();
        },
        cwd: cwd(),
        ...user(),
      },
    };
  }

  function take(step: Step): ResolvedStep {
    const expand = (word: string) => expandAt(step, word, lookup, escape);
    const done = (createdBy: string, deed: StepAction = { kind: "nothing" }): ResolvedStep => {
      count(step, [createdBy]);
      return { ...step, createdBy, deed };
    };
    switch (step.kind) {
      case "RUN":
        return run(step);
      case "COPY":
      case "ADD":
        return copy(step, expand);
      case "ENV":
      case "LABEL": {
        const pairs = step.pairs.map(([name, value]) => [expand(name), expand(value)] as const);
        if (pairs.some(([name]) => name === "")) throw malformed(step, `${step.kind} has a name that is empty`);
        for (const pair of pairs) count(step, pair);
        if (step.kind === "LABEL") add("Labels", pairs);
        else for (const [name, value] of pairs) variables.set("env", name, value);
        envSet ||= step.kind === "ENV";
        return done(`${step.kind} ${pairs.map(([name, value]) => `${name}=${value}`).join(" ")}`);
      }
      case "ARG":
        for (const [name, text] of step.args) {
          const value = lookupIn(buildArgs)(name) ?? (text === undefined ? undefined : expand(text)) ??
            lookupIn(globals, automatic)(name);
          if (value === undefined) continue;
          count(step, [name, value]);
          variables.set("arg", name, value);
        }
        return done(step.text);
      case "WORKDIR": {
        const path = inFolder(expand(step.word));
        settings.WorkingDir = path;
        return done(`WORKDIR ${path}`, { kind: "folder", path, ...user() });
      }
      case "USER": {
        const name = expand(step.word);
        if (name === "") throw malformed(step, `USER ${step.word} names nobody`);
        settings.User = name;
        return done(`USER ${name}`);
      }
      case "CMD":
      case "ENTRYPOINT": {
        const words = wordsOf(step.command);
        if (step.kind === "CMD") [settings.Cmd, commandSet] = [words, true];
        else Object.assign(settings, { Entrypoint: words }, commandSet ? {} : { Cmd: null });
        return done(`${step.kind} ${JSON.stringify(words)}`);
      }
      case "EXPOSE": {
        const ports = exposedPorts(step, step.words.flatMap((word) => expand(word).split(/\s+/).filter(Boolean)));
        add("ExposedPorts", Object.entries(ports));
        return done(`EXPOSE ${Object.keys(ports).join(" ")}`);
      }
      case "VOLUME": {
        const paths = step.words.map(expand);
        add("Volumes", paths.map((path) => [path, {}] as const));
        return done(`VOLUME ${JSON.stringify(paths)}`);
      }
      case "SHELL":
        settings.Shell = step.words;
        return done(`SHELL ${JSON.stringify(step.words)}`);
      case "STOPSIGNAL": {
        const signal = expand(step.word);
        try {
          signalNumber(signal);
        } catch (error) {
          throw error instanceof InputError ? malformed(step, error.message, error.hint) : error;
        }
        settings.StopSignal = signal;
        return done(`STOPSIGNAL ${signal}`);
      }
    }
  }

  const tasks = steps.map(take);
  for (const [key, known] of names) settings[key] = Object.fromEntries(known);
  if (envSet) settings.Env = [...env].map(([name, value]) => `${name}=${value}`);
  return { tasks, settings, args: Object.fromEntries(args) };
}
