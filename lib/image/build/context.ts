/**
 * The folder that an image is built of: its Dockerfile, its .dockerignore, and what COPY names of it.
 *
 * @module
 */

import { flags } from "../../../ffi/flags.ts";
import { AT_FDCWD, close, openAt } from "../../../ffi/fs.ts";
import { InputError } from "../../errors.ts";
import { failedWith } from "../tree.ts";
import type { Dockerfile } from "./dockerfile.ts";
import type { Task } from "./evaluate.ts";
import { findSources, type Origin, type Source } from "./origin.ts";
import { NOTHING_IGNORED, PatternError, readIgnored } from "./pattern.ts";
import type { PlannedStage } from "./plan.ts";
import { malformed } from "./problems.ts";

/** The folder that an image is built of. */
export interface Context extends Disposable {
  /** Its files. */
  readonly origin: Origin;
  /** Opens all that the steps of stages take from it. Throws {@linkcode InputError} for what is not there. */
  openSources(stages: readonly PlannedStage[]): void;
  /** What a step takes from it. */
  sourcesOf(task: Task): readonly Source[];
}

const PLACE = flags("O", "PATH", "DIRECTORY");
const NAMES = ["Dockerfile", "Containerfile"];

async function textIn(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw new InputError(`${path} cannot be read: ${error instanceof Error ? error.message : error}`, {
      code: "file-not-found",
      facts: { path },
      cause: error,
    });
  }
}

/**
 * Reads the Dockerfile. Returns what it is called in messages, and its text.
 *
 * @throws {InputError} `no-dockerfile`.
 */
export async function readDockerfile(
  folder: string,
  { file, text }: { readonly file?: string; readonly text?: string },
): Promise<{ file: string; text: string }> {
  if (text !== undefined) return { file: file ?? "Dockerfile", text };
  const paths = file === undefined ? NAMES.map((name) => `${folder.replace(/\/+$/, "")}/${name}`) : [file];
  for (const path of paths) {
    const found = await textIn(path);
    if (found !== undefined) return { file: file ?? path.slice(path.lastIndexOf("/") + 1), text: found };
  }
  throw new InputError(`there is no ${paths.join(" and no ")}`, {
    code: "no-dockerfile",
    facts: { looked: paths },
    hint: "-f names another file; the last word is the folder that COPY takes files from",
  });
}

function openFolder(folder: string): number {
  try {
    return openAt(AT_FDCWD, folder, PLACE);
  } catch (error) {
    if (!failedWith(error, "ENOENT", "ENOTDIR", "EACCES", "ELOOP")) throw error;
    throw new InputError(`${folder} is no folder that an image can be built of`, {
      code: "no-context",
      facts: { folder },
      hint: "name the folder with the files that COPY takes: sauropod images build -t app .",
    });
  }
}

async function ignoredIn(folder: string, file: string | undefined): Promise<Origin["ignored"]> {
  const own = file === undefined ? undefined : `${file}.dockerignore`;
  for (const path of [...(own ? [own] : []), `${folder}/.dockerignore`]) {
    const text = await textIn(path);
    if (text === undefined) continue;
    try {
      return readIgnored(text);
    } catch (error) {
      if (!(error instanceof PatternError)) throw error;
      throw new InputError(`${path}: ${error.message}`, { code: "bad-dockerignore", facts: { path } });
    }
  }
  return NOTHING_IGNORED;
}

/** Checks what steps take by names without variables, before images are looked for. */
export function checkTasks({ stages }: Dockerfile, { origin }: Context): void {
  for (const step of stages.flatMap(({ steps }) => steps)) {
    if (step.kind !== "COPY" && step.kind !== "ADD" || step.from !== undefined) continue;
    const plain = step.sources.filter((source) => !/[$"'\\]/.test(source));
    for (const { fd } of findSources(step, origin, plain)) close(fd);
  }
}

/**
 * Opens the folder.
 *
 * @throws {InputError} `no-context`, `bad-dockerignore`.
 */
export async function openContext(folder: string, file?: string): Promise<Context> {
  const ignored = await ignoredIn(folder, file);
  const origin: Origin = { top: openFolder(folder), name: "the context", ignored, isContext: true };
  const opened = new Map<Task, Source[]>();
  return {
    origin,
    openSources(stages) {
      for (const task of stages.flatMap(({ tasks }) => tasks)) {
        if (task.deed.kind !== "copy" || task.deed.copy.from !== undefined) continue;
        const { sources, files, target } = task.deed.copy, found = findSources(task, origin, sources);
        opened.set(task, found);
        if (found.length + files.length > 1 && !target.endsWith("/")) {
          throw malformed(task, `several files go into a folder: ${target} must end with a /`);
        }
      }
    },
    sourcesOf: (task) => opened.get(task) ?? [],
    [Symbol.dispose]() {
      for (const { fd } of [...opened.values()].flat()) close(fd);
      opened.clear();
      close(origin.top);
    },
  };
}
