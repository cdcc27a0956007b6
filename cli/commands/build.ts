/**
 * `sauropod images build`.
 *
 * @module
 */

import type { PullPolicy } from "../../lib/store/image.ts";
import { ImageError, InputError } from "../../lib/errors.ts";
import { findFolders, type FolderOptions } from "../../lib/host/folders.ts";
import { lazy } from "../../lib/lazy.ts";
import { interruptible } from "./images.ts";
import { progressView } from "../output/progress.ts";
import { printBytes, printError, printJson, printOut, reportError } from "../output/output.ts";

/** The flags of `images build`. */
export interface BuildFlags extends FolderOptions {
  readonly tag?: readonly string[];
  readonly file?: string;
  readonly buildArg?: readonly string[];
  readonly target?: string;
  readonly noCache?: boolean;
  readonly pull?: PullPolicy;
  readonly platform?: string;
  readonly network?: string;
  readonly memory?: number;
  readonly cpus?: number;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

const MAX_KEPT = 1 << 16;

async function readArgs(words: readonly string[] = []): Promise<Record<string, string>> {
  const { nameOfVariable, parseEnv } = await lazy.environment();
  const bad = words.find((word) => !/^[A-Za-z_][A-Za-z0-9_]*(=|$)/.test(word));
  if (bad !== undefined) {
    throw new InputError(`invalid --build-arg ${nameOfVariable(bad)}: expected NAME=VALUE`, {
      code: "bad-flag",
    });
  }
  return parseEnv(words);
}

async function dockerfileOf(file: string | undefined): Promise<{ file?: string; text?: string }> {
  if (file === "-") return { file: "-", text: await new Response(Deno.stdin.readable).text() };
  return file === undefined ? {} : { file };
}

/** Keeps the end of a step's output, in case it fails. */
function quietly(kept: Uint8Array[]) {
  let size = 0;
  return {
    onProgress(): void {
      kept.length = size = 0;
    },
    onOutput(bytes: Uint8Array): void {
      kept.push(bytes.slice());
      size += bytes.length;
      while (size > MAX_KEPT && kept.length > 1) size -= kept.shift()?.length ?? 0;
    },
  };
}

/** Builds an image and prints its digest. Returns the exit status of a failed RUN. */
export async function build(flags: BuildFlags, context: string): Promise<number> {
  const { tag: names, target, pull, platform, network, memory, cpus, quiet = false } = flags;
  const buildArgs = await readArgs(flags.buildArg), dockerfile = await dockerfileOf(flags.file);
  const { buildImage } = await lazy.buildImage();
  const view = quiet ? undefined : progressView(), kept: Uint8Array[] = [];
  const callbacks = quiet ? quietly(kept) : {
    onPull: view?.update,
    onProgress: ({ step, steps, text, cached }: { step: number; steps: number; text: string; cached: boolean }): void =>
      printError(`[${step}/${steps}] ${text}${cached ? " (cached)" : ""}`),
    onOutput: (bytes: Uint8Array): void => printBytes("stderr", bytes),
    onWarning: (message: string): void => printError(`sauropod: ${message}`),
  };
  try {
    const { names: full, descriptor } = await interruptible((signal) =>
      buildImage(findFolders(flags), context, {
        ...dockerfile,
        ...callbacks,
        names,
        buildArgs,
        target,
        cache: !flags.noCache,
        pull,
        platform,
        network,
        limits: { memory, cpus },
        signal,
      })
    );
    if (flags.json) printJson({ names: full, digest: descriptor.digest });
    else printOut(`${descriptor.digest}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof ImageError) || error.code !== "run-failed") throw error;
    for (const bytes of kept) printBytes("stderr", bytes);
    reportError(error);
    return Number(error.facts.exitCode);
  }
}
