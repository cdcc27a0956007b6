/**
 * What every command is called with.
 *
 * @module
 */

import type { CommandContext } from "npm:@stricli/core@1.3.0";
import { print, say } from "./text.ts";

/** The context of a command: where it leaves its exit code. */
export interface Context extends CommandContext {
  /** Streams, which stricli's commands have, and the exit code. */
  readonly process: CommandContext["process"] & { exitCode?: number | string | null };
}

/** Makes the context of one command. */
export function makeContext(): Context {
  return { process: { stdout: { write: print }, stderr: { write: (text) => say(text.replace(/\n$/, "")) } } };
}
