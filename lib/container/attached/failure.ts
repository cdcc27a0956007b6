/**
 * Error messages for failed steps of a program.
 *
 * @module
 */

import { describeErrno, errnoName } from "../../../ffi/errno.ts";
import type { Step } from "../../../ffi/program/model.ts";
import { SpawnError } from "../../errors.ts";
import { formatCall } from "../../program/explain.ts";
import { CANDIDATE, NOT_FOUND } from "../../program/process.ts";
import type { ProcessSpec } from "../../program/spec.ts";

/** A failed step. */
export interface FailedStep {
  /** The step. */
  readonly step: Step;
  /** Its error number. */
  readonly errno: number;
  /** The registers at that step. */
  readonly registers: ReadonlyMap<string, number>;
  /** The kernel's own message (extended ack). Default: none. */
  readonly detail?: string;
}

/** A specification with the process that could not be executed. */
export interface HasProcess {
  /** The process. */
  readonly process: ProcessSpec;
}

const E2BIG = 7, ENOEXEC = 8, EACCES = 13, ENOENT = 2, EPERM = 1, ENOTDIR = 20, EINVAL = 22, ELOOP = 40;

const NO_FILE = "check that the file and its interpreter exist in the container";
const EXECUTION_HINTS: ReadonlyMap<number, string> = new Map([
  [
    E2BIG,
    "pass arguments and environment of more than 128 KiB by a file or standard input",
  ],
  [ENOEXEC, "use a program for this architecture, or a script that begins with #!"],
  [ENOENT, NO_FILE],
  [ENOTDIR, NO_FILE],
]);

const HINTS: readonly (readonly [pattern: RegExp, errno: number, hint: string])[] = [
  [/^start the container's process/, EPERM, "run as root: try sudo, and see sauropod doctor"],
  [/which must be a (?:folder|directory)/, ENOTDIR, "use an image with a directory there, not a symbolic link or file"],
  [/which must be a (?:folder|directory)/, ELOOP, "use an image with a directory there, not a symbolic link"],
  [/^mount \/.* on \//, EINVAL, "mount a directory on a directory, and a file on a file"],
  [/^limit /, EPERM, "run with CAP_SYS_RESOURCE to raise a hard limit"],
  [
    /^mount overlay/,
    EINVAL,
    "keep containers and images on file systems that overlayfs supports; see sauropod doctor",
  ],
];

function notExecuted(
  step: Step,
  errno: number,
  registers: ReadonlyMap<string, number>,
  spec: HasProcess,
): SpawnError {
  const [command = ""] = spec.process.args;
  const facts = { command, step: step.label, call: formatCall(step) };
  if (step.label === NOT_FOUND) {
    const denied = [...registers].find(([name, value]) => name.startsWith(CANDIDATE) && value === -EACCES);
    if (denied) {
      const path = denied[0].slice(CANDIDATE.length);
      return new SpawnError(`cannot execute ${path}: ${describeErrno(EACCES)}`, {
        code: "not-executable",
        exitCode: 126,
        facts: { ...facts, errno: "EACCES" },
        hint: "give the container's user execute permission for the file",
      });
    }
    const path = spec.process.env.find((entry) => entry.startsWith("PATH=")) ?? "PATH=";
    return new SpawnError(`command not found in the container: ${command}`, {
      code: "command-not-found",
      exitCode: 127,
      facts: { ...facts, errno: "ENOENT" },
      hint: `install it, or its interpreter, in ${path}`,
    });
  }
  const missing = errno === ENOENT || errno === ENOTDIR;
  return new SpawnError(`cannot execute ${command}: ${describeErrno(errno)}`, {
    code: missing ? "command-not-found" : "not-executable",
    exitCode: missing ? 127 : 126,
    facts: { ...facts, errno: errnoName(errno) },
    hint: EXECUTION_HINTS.get(errno) ??
      "use a program for this architecture that the container's user may execute",
  });
}

/** Returns the error for a failed step, with a hint. */
export function describeFailure({ step, errno, registers, detail }: FailedStep, spec: HasProcess): SpawnError {
  if (step.label === NOT_FOUND || step.save?.startsWith(CANDIDATE)) return notExecuted(step, errno, registers, spec);
  return new SpawnError(`${step.label}: ${describeErrno(errno)}${detail === undefined ? "" : `: ${detail}`}`, {
    code: "step-failed",
    exitCode: 125,
    facts: { step: step.label, call: formatCall(step), errno: errnoName(errno) },
    hint: HINTS.find(([pattern, number]) => number === errno && pattern.test(step.label))?.[2] ??
      `see ${formatCall(step)}`,
  });
}
