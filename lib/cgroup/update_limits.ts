/**
 * Live update of the limits of groups in use.
 *
 * @module
 */

import { isFolder } from "../../ffi/fs/paths.ts";
import { CgroupError, messageOf } from "../errors.ts";
import type { GroupPlan, GroupWrite } from "./plan.ts";
import { hasErrno } from "./usage.ts";

const MEMORY = "memory.limit_in_bytes", MEMORY_AND_SWAP = "memory.memsw.limit_in_bytes";

/** Writes a value to a file of a group. One that is missing and optional is passed over. */
function writeSetting({ file, value, optional }: GroupWrite): void {
  try {
    Deno.writeTextFileSync(file, value, { create: false });
  } catch (error) {
    if (!optional || !(error instanceof Deno.errors.NotFound)) throw error;
  }
}

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

/**
 * Orders v1's memory writes: memory must never exceed memory plus swap, so when it grows beyond that, the latter is
 * written first.
 */
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
    return new CgroupError(`cannot set ${nameOf(write)} to ${value}: more is in use`, {
      code: "limit-below-usage",
      facts,
      hint: "choose more than sauropod stats shows in use",
      cause: error,
    });
  }
  return new CgroupError(`cannot write ${value} to ${file}: ${messageOf(error)}`, {
    code: "limit-refused",
    facts,
    hint: "check the limits of the groups above",
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

/** Returns the writes to a group and the one below it, of which neither may exceed the other at any time. */
function stages({ writes, inner }: GroupPlan): { write: GroupWrite; tentative: boolean }[] {
  const plain = (some: readonly GroupWrite[]) => inOrder(some).map((write) => ({ write, tentative: false }));
  if (!inner || !isFolder(inner.path)) return plain(writes);
  // The lower one has to shrink first; if it is to grow, that is refused, and done after the upper one.
  const first = plain(inner.writes).map((stage) => ({ ...stage, tentative: true }));
  return [...first, ...plain(writes), ...plain(inner.writes)];
}

/**
 * Writes the limits of existing groups. Returns a function that restores the previous ones.
 *
 * @throws {CgroupError} `limit-below-usage`, `limit-refused`; the limits are as before then.
 */
export function changeLimits(groups: readonly GroupPlan[]): () => void {
  const before: GroupWrite[] = [];
  const undo = (): void => before.forEach(writeSetting);
  // Enabled controllers are harmless, and cannot be disabled while in use.
  groups.flatMap(({ enable, inner }) => [...enable, ...inner?.enable ?? []]).filter(({ optional }) => !optional)
    .forEach(put);
  try {
    for (const { write, tentative } of groups.flatMap(stages)) {
      const value = read(write.file);
      if (value === undefined && write.optional) continue;
      try {
        put(write);
      } catch (error) {
        if (tentative) continue;
        throw error;
      }
      // An empty list of CPUs is written as an empty line.
      before.unshift({ file: write.file, value: value || "\n" });
    }
  } catch (error) {
    undo();
    throw error;
  }
  return undo;
}
