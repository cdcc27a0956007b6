/**
 * Changing the limits of groups that are in use.
 *
 * @module
 */

import { CgroupError, messageOf } from "../errors.ts";
import { writeSetting } from "./adopt.ts";
import type { GroupPlan, GroupWrite } from "./plan.ts";
import { hasErrno } from "./usage.ts";

const MEMORY = "memory.limit_in_bytes", MEMORY_AND_SWAP = "memory.memsw.limit_in_bytes";

function nameOf({ file }: GroupWrite): string {
  return file.slice(file.lastIndexOf("/") + 1);
}

function read(file: string): string | undefined {
  try {
    return Deno.readTextFileSync(file).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** v1: memory may never be more than memory and swap together, so when it grows beyond that, the latter goes first. */
function inOrder(writes: readonly GroupWrite[]): readonly GroupWrite[] {
  const memory = writes.find((write) => nameOf(write) === MEMORY);
  const both = writes.find((write) => nameOf(write) === MEMORY_AND_SWAP);
  if (!memory || !both || Number(memory.value) <= Number(read(both.file) ?? Infinity)) return writes;
  return [both, ...writes.filter((write) => write !== both)];
}

function refused(write: GroupWrite, error: unknown): CgroupError {
  const { file, value } = write;
  const facts = { file, value, ...(error instanceof Error && "code" in error ? { errno: error.code } : {}) };
  if (nameOf(write).startsWith("memory.") && hasErrno(error, "EBUSY")) {
    return new CgroupError(`The limit ${value} of ${nameOf(write)} is below what is in use, and cannot be enforced`, {
      code: "limit-below-usage",
      facts,
      hint: "sauropod stats shows what is in use; choose more than that.",
      cause: error,
    });
  }
  return new CgroupError(`The kernel refuses ${value} for ${file}: ${messageOf(error)}`, {
    code: "limit-refused",
    facts,
    hint: "A group above may allow less.",
    cause: error,
  });
}

function put(write: GroupWrite): void {
  try {
    writeSetting(write);
  } catch (error) {
    throw refused(write, error);
  }
}

/**
 * Writes the limits of planned groups that exist. Returns what writes the old ones back.
 *
 * @throws {CgroupError} `limit-below-usage`, `limit-refused`; the limits are as before then.
 */
export function changeLimits(groups: readonly GroupPlan[]): () => void {
  const before: GroupWrite[] = [];
  const undo = (): void => before.forEach(writeSetting);
  // That a group hands controllers down harms nobody, and cannot be undone while somebody uses them.
  groups.flatMap(({ enable }) => enable).forEach(put);
  try {
    for (const write of groups.flatMap(({ writes }) => inOrder(writes))) {
      const value = read(write.file);
      if (value === undefined && write.optional) continue;
      put(write);
      // An empty list of CPUs is written as an empty line.
      before.unshift({ file: write.file, value: value || "\n" });
    }
  } catch (error) {
    undo();
    throw error;
  }
  return undo;
}
