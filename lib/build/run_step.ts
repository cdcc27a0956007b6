/**
 * RUN: runs a command in a container on the image so far, and packs its changes as a layer.
 *
 * @module
 */

import { Fd } from "../../ffi/fs/fd.ts";
import { flags } from "../../ffi/program/flags.ts";
import { AT_FDCWD, openAt, openBelow, S_IF, type Status, statusAt, unlinkAt } from "../../ffi/fs/fs.ts";
import type { RunOptions } from "../container/attached/create.ts";
import { runOn } from "../container/attached/run.ts";
import { ImageError, SpawnError } from "../errors.ts";
import type { Folders } from "../host/folders.ts";
import { formatSize } from "../text/size.ts";
import { layerOfFolder } from "../image/exchange/import.ts";
import type { Spool } from "../image/exchange/spool.ts";
import type { NewLayer } from "../image/exchange/write_image.ts";
import type { PackOptions } from "../store/pack_layer.ts";
import { failedWith } from "../tar/tree.ts";
import type { StepAction } from "./evaluate.ts";
import type { Position } from "./problems.ts";

/** Called with the output of commands. */
export type OnOutput = (bytes: Uint8Array<ArrayBuffer>) => void;

/** Options of running commands. */
export interface RunPlace extends Pick<RunOptions, "network" | "limits"> {
  /** The directories of images and containers. */
  readonly folders: Folders;
  /** The directories of the image so far, uppermost first. */
  readonly lower: readonly string[];
  /** Image name in the container's record. */
  readonly name: string;
  /** Called with the output of the command. */
  readonly onOutput?: OnOutput;
  /** Changes the entries of the layer. */
  readonly pack: PackOptions;
}

const FOLDER = flags("O", "RDONLY", "DIRECTORY");
/** Mount points of every container. */
const FOLDERS = ["dev", "proc", "sys"], FILES = ["hosts", "hostname", "resolv.conf"];

function isFolder(status: Status): boolean {
  return (status.mode & S_IF.MT) === S_IF.DIR;
}

/** Returns the status of a directory in an image with the layers `lower`; undefined if there is none. */
function folderBelow(lower: readonly string[], name: string): Status | undefined {
  for (const path of lower) {
    using top = new Fd(openAt(AT_FDCWD, path, FOLDER));
    try {
      return statusAt(top.number, name);
    } catch (error) {
      if (!failedWith(error, "ENOENT")) throw error;
    }
  }
  return undefined;
}

/** Removes a directory that is in the upper directory only because something was mounted in it. */
function removeUnchanged(top: number, name: string, lower: readonly string[]): void {
  const { mode, uid, gid } = statusAt(top, name), below = folderBelow(lower, name);
  const before = below ?? { mode: S_IF.DIR | 0o755, uid: 0, gid: 0 };
  if (mode === before.mode && uid === before.uid && gid === before.gid) removeUnused(top, name);
}

/** Removes an empty file or directory. */
function removeUnused(folder: number, name: string): void {
  try {
    const status = statusAt(folder, name), type = status.mode & S_IF.MT;
    if (isFolder(status) || type === S_IF.REG && status.size === 0) unlinkAt(folder, name, isFolder(status));
  } catch (error) {
    if (!failedWith(error, "ENOENT", "ENOTEMPTY")) throw error;
  }
}

/** Removes mount points that were created for the container from its upper directory. */
function removeMountPoints(upper: string, lower: readonly string[]): void {
  using top = new Fd(openAt(AT_FDCWD, upper, FOLDER));
  try {
    for (const name of FOLDERS) removeUnused(top.number, name);
    using etc = new Fd(openBelow(top.number, "etc", FOLDER));
    for (const name of FILES) removeUnused(etc.number, name);
    removeUnchanged(top.number, "etc", lower);
  } catch (error) {
    if (!failedWith(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
  }
}

async function packChanges(
  spool: Spool,
  upper: string,
  lower: readonly string[],
  pack: PackOptions,
): Promise<NewLayer> {
  pack.signal?.throwIfAborted();
  removeMountPoints(upper, lower);
  return await layerOfFolder(spool, upper, pack);
}

async function drain(stream: ReadableStream<Uint8Array<ArrayBuffer>>, onOutput?: OnOutput): Promise<void> {
  for await (const chunk of stream) onOutput?.(chunk);
}

function failed({ file, line }: Position, step: string, why: string, exitCode: number, cause?: unknown): ImageError {
  const facts = { file, line, step, exitCode };
  return new ImageError(`${file}:${line}: ${step}: ${why}`, { code: "run-failed", facts, cause });
}

/**
 * Runs a command and makes a layer of what it changes. `step` names it in errors.
 *
 * @throws {ImageError} `run-failed` if it ends with another code than 0; nothing is left of it then.
 */
export async function runStep(
  spool: Spool,
  at: Position,
  step: string,
  { command, env, cwd, user }: Extract<StepAction, { kind: "run" }>,
  { folders, lower, name, network, limits, onOutput, pack }: RunPlace,
): Promise<NewLayer> {
  const { signal } = pack;
  let packed: Promise<NewLayer> | undefined;
  const harvest = async (folder: string): Promise<void> => {
    packed = packChanges(spool, `${folder}/upper`, lower, pack);
    // Its error is thrown when the container is gone.
    await packed.catch(() => {});
  };
  const wishes: RunOptions = {
    network,
    limits,
    ...(user === undefined ? {} : { user }),
    env,
    cwd,
    hostname: "build",
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal,
  };
  try {
    await using container = await runOn({ name, lower, kind: "stored" }, command, wishes, folders, harvest);
    const written = Promise.all([container.stdout, container.stderr].map((stream) => drain(stream, onOutput)));
    const { code, oomKilled, memoryLimit } = await container.status;
    await written;
    signal?.throwIfAborted();
    if (packed) return await packed;
    const memory = memoryLimit === undefined ? "" : ` at its limit of ${formatSize(memoryLimit)}`;
    throw failed(at, step, `it ended with exit code ${code}${oomKilled ? `, out of memory${memory}` : ""}`, code);
  } catch (error) {
    if (!(error instanceof SpawnError)) throw error;
    throw failed(at, step, error.message, error.exitCode, error);
  }
}
