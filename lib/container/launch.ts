/**
 * Runs a container's program and tells what went wrong if something did.
 *
 * @module
 */

import { describeErrno, errnoName } from "../../ffi/errno.ts";
import { execute, programFile, shimFd } from "../../ffi/execute.ts";
import { close } from "../../ffi/fs.ts";
import { pipe, reapNow, sendSignal } from "../../ffi/process.ts";
import type { Program, Step } from "../../ffi/program.ts";
import { SpawnError } from "../errors.ts";
import { formatCall } from "../explain.ts";
import { CANDIDATE, initCommand, NOT_FOUND } from "../program/command.ts";
import { compile } from "../program/compile.ts";
import { REGISTERS, type Stream, type TerminalSize, type Wiring } from "../program/wiring.ts";
import type { ContainerSpec } from "../spec.ts";

/** A container's first process, just executed. */
export interface Launched {
  /** Its number in our pid namespace. */
  readonly pid: number;
  /** Its pidfd, for the caller to close. */
  readonly pidfd: number;
  /** The other side of its terminal, if it has one, for the caller to close. */
  readonly terminal?: number;
}

const SIGKILL = 9;
const EACCES = 13, ENOENT = 2, EPERM = 1, ENOTDIR = 20, ELOOP = 40;

const HINTS: readonly (readonly [pattern: RegExp, errno: number, hint: string])[] = [
  [/^start the container's process/, EPERM, "making containers needs root: try sudo, and see sauropod doctor"],
  [/which must be a folder/, ENOTDIR, "the image has something else there, perhaps a symbolic link; it cannot be used"],
  [/which must be a folder/, ELOOP, "the image has a symbolic link there; it cannot be used"],
  [/^limit /, EPERM, "only a process with CAP_SYS_RESOURCE may raise a hard limit"],
  [/^mount overlay/, 22, "upper folder and image may be on file systems that overlay cannot use; see sauropod doctor"],
];

function notExecuted(
  step: Step,
  errno: number,
  registers: ReadonlyMap<string, number>,
  spec: ContainerSpec,
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
      hint: `its ${path}`,
    });
  }
  const missing = errno === ENOENT || errno === ENOTDIR;
  return new SpawnError(`execute ${command}: ${describeErrno(errno)}`, {
    code: missing ? "command-not-found" : "not-executable",
    exitCode: missing ? 127 : 126,
    facts: { ...facts, errno: errnoName(errno) },
    hint: missing
      ? "there is no such file in the container, or the interpreter that it needs is missing"
      : "it must be a program for this machine, with execute permission for the container's user",
  });
}

function failure(step: Step, errno: number, registers: ReadonlyMap<string, number>, spec: ContainerSpec): SpawnError {
  if (step.label === NOT_FOUND || step.save?.startsWith(CANDIDATE)) return notExecuted(step, errno, registers, spec);
  return new SpawnError(`${step.label}: ${describeErrno(errno)}`, {
    code: "step-failed",
    exitCode: 125,
    facts: { step: step.label, call: formatCall(step), errno: errnoName(errno) },
    hint: HINTS.find(([pattern, number]) => number === errno && pattern.test(step.label))?.[2] ??
      `in ${formatCall(step)}`,
  });
}

/** What init wrote before it gave up: the index of the failed step and its error number, 32 bits each. */
function initFailure(report: number, program: Program): { step: Step; errno: number } | undefined {
  if (report <= 0) return undefined;
  const bits = BigInt(report);
  const step = program[Number(bits & 0xffffffffn)];
  return step && { step, errno: Number(bits >> 32n) };
}

/**
 * Makes the container and executes its command.
 *
 * @throws {SpawnError} if a step fails. The process is gone then; folders and control groups are the caller's to remove.
 */
export function launch(spec: ContainerSpec, streams: Wiring["streams"], terminalSize?: TerminalSize): Launched {
  const wiring: Wiring = { streams, terminalSize, shim: shimFd, initProgram: -1, report: [-1, -1] };
  const keep = [REGISTERS.pidfd, REGISTERS.terminal];
  if (!spec.process.init) {
    const outcome = execute(compile(spec, wiring), keep);
    if (!outcome.ok) throw failure(outcome.step, outcome.errno, outcome.registers, spec);
    return launched(outcome.registers);
  }
  const inner = initCommand(spec.process, wiring);
  const initProgram = programFile(inner);
  const report = pipe();
  try {
    const outcome = execute(compile(spec, { ...wiring, initProgram, report }), keep);
    if (!outcome.ok) throw failure(outcome.step, outcome.errno, outcome.registers, spec);
    const failed = initFailure(outcome.registers.get(REGISTERS.report) ?? 0, inner);
    if (!failed) return launched(outcome.registers);
    kill(launched(outcome.registers));
    throw failure(failed.step, failed.errno, new Map(), spec);
  } finally {
    close(initProgram);
    close(report[0]);
  }
}

/** Kills a container that has just been launched, and waits until it is gone. */
export function kill({ pidfd, terminal }: Launched): void {
  sendSignal(pidfd, SIGKILL);
  reapNow(pidfd);
  if (terminal !== undefined) close(terminal);
}

function launched(registers: ReadonlyMap<string, number>): Launched {
  const terminal = registers.get(REGISTERS.terminal) ?? -1;
  return {
    pid: registers.get(REGISTERS.pid) ?? -1,
    pidfd: registers.get(REGISTERS.pidfd) ?? -1,
    ...(terminal < 0 ? {} : { terminal }),
  };
}

/** The program that {@linkcode launch} would run with the caller's own streams, for people to read. */
export function planLaunch(spec: ContainerSpec, terminal: boolean): { program: Program; init?: Program } {
  const inherited = (fd: number): Stream => terminal ? "terminal" : { fd, owned: false };
  const wiring: Wiring = {
    streams: [inherited(0), inherited(1), inherited(2)],
    shim: shimFd,
    initProgram: shimFd + 1,
    report: [shimFd + 2, shimFd + 3],
  };
  const program = compile(spec, wiring);
  return spec.process.init ? { program, init: initCommand(spec.process, wiring) } : { program };
}
