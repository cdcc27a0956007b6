/**
 * What went wrong in a container's program, in words.
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
  /** What the registers held then. */
  readonly registers: ReadonlyMap<string, number>;
  /** The kernel's own words, if it had some. */
  readonly detail?: string;
}

/** What tells of a command that could not be executed. */
export interface HasProcess {
  /** The command. */
  readonly process: ProcessSpec;
}

const E2BIG = 7, ENOEXEC = 8, EACCES = 13, ENOENT = 2, EPERM = 1, ENOTDIR = 20, EINVAL = 22, ELOOP = 40;

const NO_FILE = "there is no such file in the container, or the interpreter that it needs is missing";
const EXECUTION_HINTS: ReadonlyMap<number, string> = new Map([
  [
    E2BIG,
    "the arguments and the environment are too long, 128 KiB each at most; pass them by a file or standard input",
  ],
  [ENOEXEC, "it is no program for this machine, and no script that begins with #!"],
  [ENOENT, NO_FILE],
  [ENOTDIR, NO_FILE],
]);

const HINTS: readonly (readonly [pattern: RegExp, errno: number, hint: string])[] = [
  [/^start the container's process/, EPERM, "making containers needs root: try sudo, and see sauropod doctor"],
  [/which must be a folder/, ENOTDIR, "the image has something else there, perhaps a symbolic link; it cannot be used"],
  [/which must be a folder/, ELOOP, "the image has a symbolic link there; it cannot be used"],
  [/^mount \/.* on \//, EINVAL, "a folder can only be mounted on a folder, and a file on a file"],
  [/^limit /, EPERM, "only a process with CAP_SYS_RESOURCE may raise a hard limit"],
  [
    /^mount overlay/,
    EINVAL,
    "upper folder and image may be on file systems that overlay cannot use; see sauropod doctor",
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
      return new SpawnError(`${path} cannot be executed: ${describeErrno(EACCES)}`, {
        code: "not-executable",
        exitCode: 126,
        facts: { ...facts, errno: "EACCES" },
        hint: "it must be a file with execute permission for the container's user",
      });
    }
    const path = spec.process.env.find((entry) => entry.startsWith("PATH=")) ?? "PATH=";
    return new SpawnError(`command not found in the container: ${command}`, {
      code: "command-not-found",
      exitCode: 127,
      facts: { ...facts, errno: "ENOENT" },
      hint: `it is nowhere in its ${path}, or the interpreter that it needs is missing`,
    });
  }
  const missing = errno === ENOENT || errno === ENOTDIR;
  return new SpawnError(`execute ${command}: ${describeErrno(errno)}`, {
    code: missing ? "command-not-found" : "not-executable",
    exitCode: missing ? 127 : 126,
    facts: { ...facts, errno: errnoName(errno) },
    hint: EXECUTION_HINTS.get(errno) ??
      "it must be a program for this machine, with execute permission for the container's user",
  });
}

/** The error that says which step failed and what to try. */
export function describeFailure({ step, errno, registers, detail }: FailedStep, spec: HasProcess): SpawnError {
  if (step.label === NOT_FOUND || step.save?.startsWith(CANDIDATE)) return notExecuted(step, errno, registers, spec);
  return new SpawnError(`${step.label}: ${describeErrno(errno)}${detail === undefined ? "" : `: ${detail}`}`, {
    code: "step-failed",
    exitCode: 125,
    facts: { step: step.label, call: formatCall(step), errno: errnoName(errno) },
    hint: HINTS.find(([pattern, number]) => number === errno && pattern.test(step.label))?.[2] ??
      `in ${formatCall(step)}`,
  });
}
