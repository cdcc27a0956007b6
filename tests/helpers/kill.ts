/**
 * Command lines that are killed at a moment nobody chose.
 *
 * @module
 */

import { commandLine } from "./project.ts";
import type { World } from "./world.ts";

/** A folder of containers of its own, in which rounds follow each other. */
export interface Lane {
  /** Where its containers are. */
  readonly world: World;
  /** Numbers from 0 up to 1. */
  readonly random: () => number;
  /** How long the command line usually takes, in milliseconds. */
  readonly usual: number;
  /** What happened, for a failure's message. */
  readonly story: string[];
  /** How often each outcome was met. */
  readonly met: Map<string, number>;
}

/** True as often as `of` says, from never (0) to always (1). */
export function chance(random: () => number, of: number): boolean {
  return random() < of;
}

/** Starts the command line with nobody listening. */
export function startQuietly(world: World, words: readonly string[]): Deno.ChildProcess {
  const [program = "", ...args] = commandLine(words);
  return new Deno.Command(program, {
    args,
    cwd: world.home,
    env: { SAUROPOD_HOME: world.home },
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
}

/** Starts the command line and kills it at a random moment, often just when it begins to change something. */
export async function killInMidst(lane: Lane, words: readonly string[]): Promise<void> {
  const { world, random, usual } = lane;
  const child = startQuietly(world, words);
  let ended = false;
  child.status.then(() => ended = true);
  if (chance(random, 0.5)) await new Promise((resolve) => setTimeout(resolve, usual * (0.3 + random())));
  else {
    const look = (): string => JSON.stringify([...Deno.readDirSync(`${world.folders.containers}/.live`)]);
    const before = look();
    const end = performance.now() + usual * 2;
    while (!ended && look() === before && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    const moment = performance.now() + random() * usual * 0.12;
    while (performance.now() < moment);
  }
  try {
    child.kill("SIGKILL");
  } catch (error) {
    // It has just ended.
    if (!(error instanceof TypeError)) throw error;
  }
  const { signal } = await child.status;
  lane.story.push(`  ${words.join(" ")}: ${signal ?? "had ended"}`);
}
