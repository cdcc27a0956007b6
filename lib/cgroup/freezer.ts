/**
 * Freezing the processes of a group, by `cgroup.freeze` of v2 or the freezer of v1.
 *
 * @module
 */

import { modeOf } from "../../ffi/fs/paths.ts";
import { CgroupError } from "../errors.ts";
import { sleep } from "../host/poll.ts";
import { groupPids } from "./remove.ts";
import { isGone } from "./usage.ts";

/** The files of a group that freeze it, and what they say. */
interface Freezer {
  readonly group: string;
  /** The file to write to. */
  readonly control: string;
  readonly freeze: string;
  readonly thaw: string;
  /** The file that says `1` from when freezing was asked for until thawing is. */
  readonly asked: string;
  /** The file that says when all processes are frozen. */
  readonly state: string;
  readonly frozen: RegExp;
}

const KINDS = [
  {
    control: "cgroup.freeze",
    freeze: "1",
    thaw: "0",
    asked: "cgroup.freeze",
    state: "cgroup.events",
    frozen: /^frozen 1$/m,
  },
  {
    control: "freezer.state",
    freeze: "FROZEN",
    thaw: "THAWED",
    asked: "freezer.self_freezing",
    state: "freezer.state",
    frozen: /^FROZEN$/m,
  },
] as const;

const PATIENCE_MS = 5000, SPIN_MS = 1, POLL_MS = 1;

function freezersIn(groups: readonly string[]): Freezer[] {
  return KINDS.flatMap((kind) =>
    groups.filter((group) => modeOf(`${group}/${kind.control}`) !== undefined).map((group) => ({ ...kind, group }))
  );
}

function read(file: string): string {
  try {
    return Deno.readTextFileSync(file);
  } catch (error) {
    if (isGone(error)) return "";
    throw error;
  }
}

function set({ group, control }: Freezer, value: string): void {
  try {
    Deno.writeTextFileSync(`${group}/${control}`, value, { create: false });
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

/** Whether one of the groups is frozen, or about to be. */
export function isFrozen(groups: readonly string[]): boolean {
  return freezersIn(groups).some(({ group, asked }) => read(`${group}/${asked}`).trim() === "1");
}

/** Lets everything in the groups run again. Groups that cannot be frozen, or are gone, are passed over. */
export function thawGroups(groups: readonly string[]): void {
  for (const freezer of freezersIn(groups)) set(freezer, freezer.thaw);
}

/**
 * Freezes the one of the groups that can be, and waits until every process in it is frozen: mostly a fraction of a
 * millisecond.
 *
 * @throws {CgroupError} `freezer-missing`; `freeze-timeout` after five seconds, with everything running again.
 */
export async function freezeGroups(groups: readonly string[]): Promise<void> {
  const [freezer] = freezersIn(groups);
  if (!freezer) {
    throw new CgroupError(`None of the control groups ${groups.join(", ")} can be frozen`, {
      code: "freezer-missing",
      facts: { groups },
    });
  }
  const start = performance.now();
  set(freezer, freezer.freeze);
  while (!freezer.frozen.test(read(`${freezer.group}/${freezer.state}`))) {
    const waited = performance.now() - start;
    if (waited > PATIENCE_MS) {
      set(freezer, freezer.thaw);
      throw new CgroupError(`Cannot freeze control group ${freezer.group} within ${PATIENCE_MS} ms`, {
        code: "freeze-timeout",
        facts: { group: freezer.group, pids: groupPids(freezer.group) },
        hint: "A process waits for a device or a server and cannot be interrupted; try again later.",
      });
    }
    if (waited < SPIN_MS) continue;
    await sleep(POLL_MS);
    // What v1 missed while it forked is frozen by asking again.
    set(freezer, freezer.freeze);
  }
}
