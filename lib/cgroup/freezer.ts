/**
 * Freezer: freezes the processes of a group by v2's `cgroup.freeze` or v1's freezer controller.
 *
 * @module
 */

import { modeOf } from "../../ffi/fs/paths.ts";
import { CgroupError } from "../errors.ts";
import { sleep } from "../host/poll.ts";
import { groupPids } from "./remove.ts";
import { isGone } from "./usage.ts";

/** The freezer files of a group. */
interface Freezer {
  readonly group: string;
  /** The file to write to. */
  readonly control: string;
  readonly freeze: string;
  readonly thaw: string;
  /** The file that contains `1` from the freeze request until the thaw request. */
  readonly asked: string;
  /** The file that tells when all processes are frozen. */
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

/** Reports whether one of the groups is frozen, or about to be. */
export function isFrozen(groups: readonly string[]): boolean {
  return freezersIn(groups).some(({ group, asked }) => read(`${group}/${asked}`).trim() === "1");
}

/** Thaws the groups. Groups that cannot be frozen or no longer exist are skipped. */
export function thawGroups(groups: readonly string[]): void {
  for (const freezer of freezersIn(groups)) set(freezer, freezer.thaw);
}

/**
 * Freezes the group that has a freezer and waits until all its processes are frozen, usually a fraction of a
 * millisecond.
 *
 * @throws {CgroupError} `freezer-missing`; `freeze-timeout` after five seconds, with everything running again.
 */
export async function freezeGroups(groups: readonly string[]): Promise<void> {
  const [freezer] = freezersIn(groups);
  if (!freezer) {
    throw new CgroupError(`cannot freeze control groups ${groups.join(", ")}: none has a freezer`, {
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
      throw new CgroupError(`cannot freeze control group ${freezer.group}: timed out after ${PATIENCE_MS} ms`, {
        code: "freeze-timeout",
        facts: { group: freezer.group, pids: groupPids(freezer.group) },
        hint: "try again later; a process in it waits uninterruptibly for a device or a server",
      });
    }
    if (waited < SPIN_MS) continue;
    await sleep(POLL_MS);
    // v1 misses processes that fork meanwhile; another request freezes them.
    set(freezer, freezer.freeze);
  }
}
