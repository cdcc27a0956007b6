/**
 * Runs a container's program and tells what went wrong if something did.
 *
 * @module
 */

import { execute, programFile, shimFd } from "../../ffi/execute.ts";
import { flags } from "../../ffi/flags.ts";
import { AT_FDCWD, close, openAt } from "../../ffi/fs.ts";
import { pipe, reapNow, sendSignal } from "../../ffi/process.ts";
import type { Program } from "../../ffi/program.ts";
import { lazy } from "../lazy.ts";
import { initCommand } from "../program/process.ts";
import { compile } from "../program/compile.ts";
import { REGISTERS, type Stream, type TerminalSize, type Wiring } from "../program/wiring.ts";
import type { ContainerSpec } from "../spec.ts";
import type { Failure } from "./failure.ts";
import { readReport } from "./report.ts";

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
let namespace: number | undefined;

/** A descriptor of this process's network namespace, open for good; -1 for a container that needs none. */
export function hostNetwork({ network }: ContainerSpec): number {
  if (network.mode !== "own" || network.interfaces.length === 0) return -1;
  namespace ??= openAt(AT_FDCWD, "/proc/self/ns/net", flags("O", "RDONLY"));
  return namespace;
}

async function describe(failure: Failure, spec: ContainerSpec): Promise<Error> {
  const { describeFailure } = await lazy.failure();
  return describeFailure(failure, spec);
}

/**
 * Makes the container and executes its command.
 *
 * @throws {SpawnError} if a step fails. The process is gone then; folders and control groups are the caller's to remove.
 */
export async function launch(
  spec: ContainerSpec,
  streams: Wiring["streams"],
  terminalSize?: TerminalSize,
): Promise<Launched> {
  const host = hostNetwork(spec);
  const wiring: Wiring = { streams, terminalSize, shim: shimFd, hostNetwork: host, initProgram: -1, report: -1 };
  const keep = [REGISTERS.pidfd, REGISTERS.terminal];
  if (!spec.process.init) {
    const outcome = execute(compile(spec, wiring), keep);
    if (!outcome.ok) throw await describe(outcome, spec);
    return launched(outcome.registers);
  }
  const inner = initCommand(spec.process, wiring);
  const { fd: initProgram, registers } = programFile(inner);
  const [reading, report] = pipe();
  try {
    const outcome = execute(compile(spec, { ...wiring, initProgram, report }), keep);
    close(report);
    if (!outcome.ok) throw await describe(outcome, spec);
    const { failure: failed } = readReport(reading, { program: inner, registers });
    if (!failed) return launched(outcome.registers);
    kill(launched(outcome.registers));
    throw await describe(failed, spec);
  } finally {
    close(initProgram);
    close(reading);
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
    hostNetwork: hostNetwork(spec),
    initProgram: shimFd + 1,
    report: shimFd + 2,
  };
  const program = compile(spec, wiring);
  return spec.process.init ? { program, init: initCommand(spec.process, wiring) } : { program };
}
