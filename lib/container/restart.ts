/**
 * When a detached container is started again, as `docker run --restart` has it.
 *
 * @module
 */

import type { RestartPolicy } from "../../ffi/job.ts";
import { InputError } from "../errors.ts";

/**
 * Reads `no`, `on-failure[:TIMES]`, `always` or `unless-stopped`. The last two are the same here: nothing is started
 * again after `stop`, and no daemon starts anything when the machine starts.
 *
 * @throws {InputError} `bad-restart`.
 */
export function parseRestart(text = "no"): { restart: RestartPolicy; most: number } {
  const [, failure, times] = /^(on-failure)(?::(\d{1,9}))?$/.exec(text) ?? [];
  if (failure) return { restart: "on-failure", most: Number(times ?? 0) };
  if (text === "no" || text === "") return { restart: "no", most: 0 };
  if (text === "always" || text === "unless-stopped") return { restart: "always", most: 0 };
  throw new InputError(`${JSON.stringify(text)} says not when to start a container again`, {
    code: "bad-restart",
    facts: { restart: text },
    hint: "no, on-failure, on-failure:3, always or unless-stopped",
  });
}
