/**
 * Writing what a container of the image `host` has changed to this machine.
 *
 * @module
 */

import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt } from "../../../ffi/fs/fs.ts";
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

/** What to apply, and how. */
export interface ApplyOptions {
  /** Absolute paths; what is below them counts. Default: everything. */
  readonly paths?: readonly string[];
  /** Write also where the machine has changed meanwhile. Default: false. */
  readonly force?: boolean;
  /** Only plan. Default: false. */
  readonly dryRun?: boolean;
  /** Asked before anything is written, if there is something to write and nothing against it. Default: yes. */
  readonly confirm?: (plan: ApplyPlan) => boolean | Promise<boolean>;
  /** The folder that is the container's image and is written to. Default: `/`, this machine. */
  readonly machine?: string;
}

/** What was planned, and done. */
export interface ApplyResult extends ApplyPlan {
  /** Whether the changes were written. */
  readonly applied: boolean;
}

function checkImage({ id, image, lower }: ContainerRecord, machine: string): void {
  if (lower.length === 1 && lower[0] === machine) return;
  throw new ContainerError(`the container ${id} is one of ${image}, not of this machine's files`, {
    code: "apply-unsupported",
    facts: { id, image },
    hint: "only what containers of the image host have changed can be applied; sauropod cp and commit take the rest",
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
      `${quoteName(path)} cannot be written: ${messageOf(error)}; ${done} of ${changes.length} changes are`,
      {
        code: "apply-failed",
        facts: { path, done, of: changes.length },
        hint: "what is written stays; apply again to go on",
        cause: error,
      },
    );
  }
}

/**
 * Writes what the container that `query` names has changed in the files of its image, this machine's, to them: each file
 * at once or not at all. Nothing is written if something that would be touched was changed since the container was made.
 * The container must have ended, and is not started meanwhile.
 *
 * @throws {InputError} `bad-path`, `no-change`.
 * @throws {ContainerError} `apply-unsupported` for containers of other images; `container-running`; `apply-failed`, when
 *   some of the changes have been written; those of `changesOf`.
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
        const root = openAt(AT_FDCWD, machine, flags("O", "RDONLY", "DIRECTORY"));
        try {
          const chosen = chooseChanges(changesOfRecord(containers, record), paths);
          const plan = planApply(chosen, upper, root, BigInt(Date.parse(record.line ?? record.created)) * 1_000_000n);
          const isRefused = plan.conflicts.some(({ forcible }) => !force || !forcible);
          if (dryRun || isRefused || plan.changes.length === 0) return { ...plan, applied: false };
          if (!await confirm(plan)) return { ...plan, applied: false };
          writeAll(plan.changes, upper, root);
          return { ...plan, applied: true };
        } finally {
          close(root);
        }
      }),
  );
}
