/**
 * `sauropod apply`: the changes of a container of `host`, written to this machine.
 *
 * @module
 */

import { applyChanges } from "../../lib/container/files/apply.ts";
import type { ApplyPlan } from "../../lib/container/files/apply_plan.ts";
import type { Change, FileState } from "../../lib/container/files/changes.ts";
import { InputError } from "../../lib/errors.ts";
import { findFolders, type FolderOptions } from "../../lib/host/folders.ts";
import { formatSize } from "../../lib/text/size.ts";
import { LETTERS } from "./diff.ts";
import { printError, printJson, printOut, showName } from "../output/output.ts";

/** The flags of `apply`. */
export interface ApplyFlags extends FolderOptions {
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly force?: boolean;
  readonly json?: boolean;
}

const octal = (mode: number): string => mode.toString(8).padStart(4, "0");
const owner = ({ uid, gid }: FileState): string => `${uid}:${gid}`;

/** Formats the differences; for a new or deleted file its attributes. */
function describe({ before, after }: Change): string {
  const now = after ?? before;
  if (!now) return "";
  const sized = now.type === "file" ? ` ${formatSize(now.size)}` : "";
  if (!before || !after) {
    return after ? `${now.type}${sized} ${octal(now.mode)} ${owner(now)}` : `${now.type}${sized}`;
  }
  const differences = ([
    ["", before.type, after.type],
    ["mode ", octal(before.mode), octal(after.mode)],
    ["owner ", owner(before), owner(after)],
    ["", formatSize(before.size), formatSize(after.size)],
  ] as const).filter(([, was, is]) => was !== is).map(([what, was, is]) => `${what}${was} -> ${is}`);
  return differences.join(", ") || `${now.type}${sized}`;
}

function show({ changes, leftOut }: ApplyPlan): void {
  const names = changes.map(({ path }) => showName(path));
  const width = Math.min(60, Math.max(0, ...names.map((name) => name.length)));
  printOut(
    changes.map((change, i) => `${LETTERS[change.kind]} ${names[i]?.padEnd(width)}  ${describe(change)}\n`).join(""),
  );
  if (leftOut.length > 0) printError(`skipped: ${leftOut.length} below /dev, /proc, /run and /sys`);
}

function ask(question: string): boolean {
  if (!Deno.stdin.isTerminal()) {
    throw new InputError("cannot ask for confirmation: standard input is not a terminal", {
      code: "no-terminal",
      hint: "use --yes, or --dry-run to show the changes only",
    });
  }
  Deno.stderr.writeSync(new TextEncoder().encode(`${question} [y/N] `));
  const answer = new Uint8Array(256), n = Deno.stdin.readSync(answer) ?? 0;
  return /^y(es)?\s*$/i.test(new TextDecoder().decode(answer.subarray(0, n)));
}

/** Applies changes. Returns 1 after a conflict or a refusal. */
export async function apply(flags: ApplyFlags, container: string, ...paths: string[]): Promise<number> {
  const { dryRun, force, json, yes } = flags;
  let shown = false;
  const confirm = (plan: ApplyPlan): boolean => {
    shown = true;
    if (!json) show(plan);
    const { length } = plan.changes;
    return yes || ask(`Write ${length === 1 ? "this change" : `these ${length} changes`} to this machine?`);
  };
  const result = await applyChanges(findFolders(flags).containers, container, { paths, dryRun, force, confirm });
  const { applied, changes, conflicts } = result;
  if (json) printJson(result);
  else if (!shown) show(result);
  if (!force || conflicts.some(({ forcible }) => !forcible)) {
    for (const { path, reason } of conflicts) printError(`conflict: ${showName(path)}: ${reason}`);
  }
  if (applied || changes.length === 0) {
    if (!json) printError(applied ? `written: ${changes.length}` : "there is nothing to write");
    return 0;
  }
  if (conflicts.length > 0 && !shown) {
    const hopeless = conflicts.some(({ forcible }) => !forcible);
    printError(
      `sauropod: nothing was written\n  name the paths to write${hopeless ? "" : ", or use --force"}`,
    );
  } else if (!dryRun) printError("sauropod: nothing was written");
  return dryRun && conflicts.length === 0 ? 0 : 1;
}
