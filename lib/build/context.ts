/**
 * The directory that an image is built of: its Dockerfile, its .dockerignore, and what COPY names of it.
 *
 * @module
 */

import { flags } from "../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt } from "../../ffi/fs/fs.ts";
import { ImageError, InputError } from "../errors.ts";
import { reasonOf } from "../host/reason.ts";
import { readImageFile } from "../image/image_file.ts";
import { failedWith } from "../tar/tree.ts";
import type { Dockerfile } from "./dockerfile.ts";
import type { ResolvedStep } from "./evaluate.ts";
import { findSources, type Origin, type Source } from "./origin.ts";
import { NOTHING_IGNORED, PatternError, readIgnored } from "./pattern.ts";
import type { PlannedStage } from "./plan.ts";
import { checkTarget } from "./problems.ts";

/** The directory that an image is built of. */
export interface Context extends Disposable {
  /** Its files. */
  readonly origin: Origin;
  /** Opens all that the steps of stages take from it. Throws {@linkcode InputError} for what is not there. */
  openSources(stages: readonly PlannedStage[], signal?: AbortSignal): Promise<void>;
  /** What a step takes from it. */
  sourcesOf(task: ResolvedStep): readonly Source[];
}

const PLACE = flags("O", "PATH", "DIRECTORY");
const NAMES = ["Dockerfile", "Containerfile"], IGNORE = ".dockerignore";

/** Returns a text of the context; undefined if it has none of that name. Links are not followed out of it, nor are pipes read. */
function textIn(folder: string, name: string): string | undefined {
  try {
    return readImageFile([folder], name);
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    throw new InputError(`cannot read ${name} in ${folder}: not a file of at most 1 MiB, or a circular link`, {
      code: "bad-file",
      facts: { folder, name },
      cause: error,
    });
  }
}

/** Returns a text that the user names. */
function textAt(path: string): string | undefined {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw new InputError(`cannot read ${path}: ${reasonOf(error, path)}`, {
      code: "bad-file",
      facts: { path },
      cause: error,
    });
  }
}

/**
 * Reads the Dockerfile of the open directory. Returns what it is called in messages, and its text.
 *
 * @throws {InputError} `no-dockerfile`, `bad-file`.
 */
export function readDockerfile(
  folder: string,
  { file, text }: { readonly file?: string; readonly text?: string },
): { file: string; text: string } {
  if (text !== undefined) return { file: file ?? "Dockerfile", text };
  for (const name of file === undefined ? NAMES : [file]) {
    const found = file === undefined ? textIn(folder, name) : textAt(file);
    if (found !== undefined) return { file: name, text: found };
  }
  const looked = file === undefined ? NAMES.map((name) => `${folder}/${name}`) : [file];
  throw new InputError(`there is no ${looked.join(" and no ")}`, {
    code: "no-dockerfile",
    facts: { looked },
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

function ignoredIn(folder: string, file: string | undefined): Origin["ignored"] {
  const own = file === undefined ? undefined : textAt(`${file}.dockerignore`);
  const text = own ?? textIn(folder, IGNORE), path = own === undefined ? IGNORE : `${file}.dockerignore`;
  try {
    return text === undefined ? NOTHING_IGNORED : readIgnored(text);
  } catch (error) {
    if (!(error instanceof PatternError)) throw error;
    throw new InputError(`${path}: ${error.message}`, { code: "bad-dockerignore", facts: { path } });
  }
}

/** Checks what steps take by names without variables, before images are looked for. */
export async function checkTasks({ stages }: Dockerfile, { origin }: Context, signal?: AbortSignal): Promise<void> {
  for (const step of stages.flatMap(({ steps }) => steps)) {
    if (step.kind !== "COPY" && step.kind !== "ADD" || step.from !== undefined) continue;
    const plain = step.sources.filter((source) => !/[$"'\\]/.test(source));
    for (const { fd } of await findSources(step, origin, plain, signal)) close(fd);
  }
}

/**
 * Opens the directory. `file` is the Dockerfile, if it is not the directory's own.
 *
 * @throws {InputError} `no-context`, `bad-dockerignore`, `bad-file`.
 */
export function openContext(folder: string, file?: string): Context {
  const top = openFolder(folder);
  let ignored: Origin["ignored"];
  try {
    ignored = ignoredIn(folder, file);
  } catch (error) {
    close(top);
    throw error;
  }
  const origin: Origin = { top, name: "the context", ignored, isContext: true };
  const opened = new Map<ResolvedStep, Source[]>();
  return {
    origin,
    async openSources(stages, signal) {
      for (const task of stages.flatMap(({ tasks }) => tasks)) {
        if (task.action.kind !== "copy" || task.action.copy.from !== undefined) continue;
        const { sources, files, target } = task.action.copy, found = await findSources(task, origin, sources, signal);
        opened.set(task, found);
        checkTarget(task, found.length + files.length, target);
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
