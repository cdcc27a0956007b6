/**
 * Logs of containers that never were, to be read.
 *
 * @module
 */

import { copyLog, type LogOptions } from "../../lib/container/state/log.ts";
import { text } from "./inside.ts";
import { type LogWriter, makeContainer, writeLog } from "./log.ts";
import { makeWorld, type World } from "./world.ts";

/** The id of the container. */
export const ID = "0123456789ab";
/** Waits. */
export const pause = (milliseconds: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, milliseconds));

/** The folder of a container in a world of its own, and the writer of its log. */
export function makeLog(keep?: number): { world: World; folder: string; log: LogWriter } & AsyncDisposable {
  const world = makeWorld();
  const folder = makeContainer(world.folders.containers, ID, { name: "web" });
  const log = writeLog(folder, keep);
  return {
    world,
    folder,
    log,
    async [Symbol.asyncDispose](): Promise<void> {
      log.close();
      await world[Symbol.asyncDispose]();
    },
  };
}

/** What is in a log, both streams in order: what went to stderr is in braces. */
export async function contents(folder: string, options: LogOptions & { timestamps?: boolean } = {}): Promise<string> {
  let all = "";
  await copyLog(folder, options, (stream, bytes) => all += stream === "stdout" ? text(bytes) : `{${text(bytes)}}`);
  return all;
}
