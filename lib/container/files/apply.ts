/**
 * Apply: writes the changes of a container of the image `host` to the host.
 *
 * @module
 */

import { Fd } from "../../../ffi/fs/fd.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, openAt } from "../../../ffi/fs/fs.ts";
import { syncFileSystem } from "../../../ffi/fs/filesystems.ts";
import { ContainerError, messageOf } from "../../errors.ts";
import { quoteName } from "../../tar/entry.ts";
import { type ApplyPlan, chooseChanges, planApply } from "./apply_plan.ts";
import { type ChangeWriter, changeWriter, inFolder, splitPath } from "./apply_write.ts";
import { type Change, changesOfRecord, withChanged } from "./changes.ts";
import { lookUp, stateOf } from "./file_state.ts";
import { findContainer } from "../state/names.ts";
import type { ContainerRecord } from "../state/record.ts";
import { withOfflineContainer } from "../state/offline_lock.ts";

/** Options of `apply`. */
export interface ApplyOptions {
  /** Absolute paths to apply, with their content. Default: all. */
  readonly paths?: readonly string[];
  /** Overwrite files that have changed on the host meanwhile. Default: false. */
  readonly force?: boolean;
  /** Plan only. Default: false. */
  readonly dryRun?: boolean;
  /** Confirms a plan with changes and without conflicts before it is written. Default: yes. */
  readonly confirm?: (plan: ApplyPlan) => boolean | Promise<boolean>;
  /** The directory that is the container's image and is written to. Default: `/`. */
  readonly machine?: string;
}

/** Result of `apply`. */
export interface ApplyResult extends ApplyPlan {
  /** Whether the changes were written. */
  readonly applied: boolean;
}

function checkImage({ id, image, lower }: ContainerRecord, machine: string): void {
  if (lower.length === 1 && lower[0] === machine) return;
  throw new ContainerError(`cannot apply container ${id}: its image is ${image}, not host`, {
    code: "apply-unsupported",
    facts: { id, image },
    hint: "use sauropod cp or commit",
  });
}

function write(writer: ChangeWriter, { kind, path, after }: Change, machine: number): void {
  if (kind === "deleted") return writer.remove(path);
  const [folder, name] = splitPath(path);
  const there = inFolder(machine, folder, (fd) => lookUp(fd, name));
  const folders = after?.type === "folder" && there && stateOf(there).type === "folder";
  if (folders) writer.setAttributes(path);
  else writer.put(path);
}

function writeAll(changes: readonly Change[], upper: number, machine: number): void {
  const writer = changeWriter(upper, machine);
  let done = 0, path = "/";
  try {
    for (const change of changes) {
      path = change.path;
      write(writer, change, machine);
      done++;
    }
    writer.finish();
    syncFileSystem(machine);
  } catch (error) {
    throw new ContainerError(
      `cannot write ${quoteName(path)}, after ${done} of ${changes.length} changes: ${messageOf(error)}`,
      {
        code: "apply-failed",
        facts: { path, done, of: changes.length },
        hint: "apply again to continue; written changes stay",
        cause: error,
      },
    );
  }
}

/**
 * Writes the changes of the container that `query` names to the host, its image, each file atomically. Writes nothing if
 * a file that would be written has changed on the host since the container was created. The container must have exited,
 * and cannot be started meanwhile.
 *
 * @throws {InputError} `bad-path`, `no-change`.
 * @throws {ContainerError} `apply-unsupported` for containers of other images; `container-running`; `apply-failed`, after some
 *   of the changes have been written; those of `changesOf`.
 */
export async function applyChanges(
  containers: string,
  query: string,
  options: ApplyOptions = {},
): Promise<ApplyResult> {
  const { paths = [], force = false, dryRun = false, confirm = () => true, machine = "/" } = options;
  const found = findContainer(containers, query);
  checkImage(found, machine);
  return await withOfflineContainer(
    containers,
    found.id,
    (record) =>
      withChanged(containers, record, async (upper) => {
        using root = new Fd(openAt(AT_FDCWD, machine, flags("O", "RDONLY", "DIRECTORY")));
        const chosen = chooseChanges(changesOfRecord(containers, record), paths);
        const since = BigInt(Date.parse(record.line ?? record.created)) * 1_000_000n;
        const plan = planApply(chosen, upper, root.number, since);
        const isRefused = plan.conflicts.some(({ forcible }) => !force || !forcible);
        if (dryRun || isRefused || plan.changes.length === 0) return { ...plan, applied: false };
        if (!await confirm(plan)) return { ...plan, applied: false };
        writeAll(plan.changes, upper, root.number);
        return { ...plan, applied: true };
      }),
  );
}
