/**
 * Execution of a container's programs: launch, prepared launch, and errors of their steps.
 *
 * @module
 */

import { execute, programFile, sendProgram, shimFd } from "../../../ffi/program/execute.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt } from "../../../ffi/fs/fs.ts";
import { pipe, reapNow, sendSignal, SIGKILL } from "../../../ffi/process/process.ts";
import type { Program } from "../../../ffi/program/model.ts";
import { lazy } from "../../lazy.ts";
import { compile, compileAhead, compileCommand, compileLast } from "../../program/compile.ts";
import { type LaunchFds, REGISTERS, type Stream, type TerminalSize } from "../../program/launch_fds.ts";
import type { ContainerSpec } from "../../program/spec.ts";
import type { FailedStep } from "./failure.ts";
import { type ProgramReport, readReport } from "./report.ts";

/** First process of a container. */
export interface Launched {
  /** Its PID in the caller's PID namespace. */
  readonly pid: number;
  /** Its pidfd; the caller closes it. */
  readonly pidfd: number;
  /** The master end of its terminal; the caller closes it. Default: it has none. */
  readonly terminal?: number;
  /** Pipes to a prepared process that waits for its command. Default: it has its command. */
  readonly ends?: readonly End[];
}

/** The caller's end of a pipe. */
export interface End {
  /** The descriptor. */
  readonly fd: number;
  /** Closes it; does nothing when closed. */
  readonly close: () => void;
}

const KEPT = [REGISTERS.pidfd, REGISTERS.terminal];
let namespace: number | undefined;

/** Returns a descriptor of this process's network namespace, which is never closed; -1 if the container needs none. */
export function hostNetwork({ network }: ContainerSpec): number {
  if (network.mode !== "own" || network.interfaces.length === 0) return -1;
  namespace ??= openAt(AT_FDCWD, "/proc/self/ns/net", flags("O", "RDONLY"));
  return namespace;
}

async function describe(failure: FailedStep, spec: ContainerSpec): Promise<Error> {
  const { describeFailure } = await lazy.failure();
  return describeFailure(failure, spec);
}

/**
 * Creates the container and executes its command.
 *
 * @throws {SpawnError} if a step fails. The process is gone then; the caller removes directories and control groups.
 */
export async function launch(
  spec: ContainerSpec,
  streams: LaunchFds["streams"],
  terminalSize?: TerminalSize,
): Promise<Launched> {
  const host = hostNetwork(spec);
  const wiring: LaunchFds = { streams, terminalSize, shim: shimFd, hostNetwork: host, lastProgram: -1, report: -1 };
  const last = compileLast(spec.process, wiring);
  const { fd: lastProgram, registers } = programFile(last);
  const [reading, report] = pipe();
  const closeReport = closeOnce(report).close;
  try {
    const outcome = execute(compile(spec, { ...wiring, lastProgram, report }), KEPT);
    closeReport();
    if (!outcome.ok) throw await describe(outcome, spec);
    const { failure: failed } = readReport(reading, { program: last, registers });
    if (!failed) return launched(outcome.registers);
    kill(launched(outcome.registers));
    throw await describe(failed, spec);
  } finally {
    closeReport();
    close(lastProgram);
    close(reading);
  }
}

/** First process of a prepared container, which waits for a command. */
export interface PreparedProcess extends Launched {
  /** Standard streams. */
  readonly wired: LaunchFds["streams"];
  /** Working directory. */
  readonly cwd: string;
  /** The pipes for the command's program and for the report of its failure. */
  readonly ends: readonly [request: End, report: End];
}

function closeOnce(fd: number): End {
  let open = true;
  return {
    fd,
    close(): void {
      if (open) close(fd);
      open = false;
    },
  };
}

/**
 * Creates the container up to its command.
 *
 * @throws {SpawnError} as {@linkcode launch} does.
 */
export async function launchPrepared(
  spec: ContainerSpec,
  streams: LaunchFds["streams"],
  terminalSize?: TerminalSize,
): Promise<PreparedProcess> {
  const [program, request] = pipe(), [report, failure] = pipe();
  const shared = { shim: shimFd, hostNetwork: hostNetwork(spec), lastProgram: program, report: failure };
  const ends: PreparedProcess["ends"] = [closeOnce(request), closeOnce(report)];
  try {
    const outcome = execute(compileAhead(spec, { ...shared, streams, terminalSize }), KEPT);
    if (!outcome.ok) throw await describe(outcome, spec);
    return { ...launched(outcome.registers), wired: streams, cwd: spec.process.cwd, ends };
  } catch (error) {
    ends.forEach((end) => end.close());
    throw error;
  } finally {
    [program, failure].forEach(close);
  }
}

/** Sends a program to a prepared container and reads the report. */
function send({ ends: [request, report] }: PreparedProcess, program: Program): ProgramReport {
  try {
    const registers = sendProgram(request.fd, program);
    request.close();
    return readReport(report.fd, { program, registers });
  } finally {
    request.close();
    report.close();
  }
}

/**
 * Executes the command of `spec` in a prepared container.
 *
 * @throws {SpawnError} if that fails; the container's process has exited then, or is about to.
 * @throws {SystemError} `EPIPE` if the container has exited meanwhile.
 */
export async function command(ahead: PreparedProcess, spec: ContainerSpec): Promise<void> {
  const wiring: LaunchFds = { streams: ahead.wired, shim: shimFd, hostNetwork: -1, lastProgram: -1, report: -1 };
  const { failure } = send(ahead, compileCommand(spec.process, wiring, ahead.cwd));
  if (failure) throw await describe(failure, spec);
}

/** Kills a launched container and waits until it is gone. */
export function kill({ pidfd, terminal, ends = [] }: Launched): void {
  ends.forEach((end) => end.close());
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

/**
 * Returns the programs of {@linkcode launch} with the caller's streams, for `explain`: the one that creates the container,
 * and the one by which the shim executes its command.
 */
export function planLaunch(spec: ContainerSpec, terminal: boolean): { program: Program; last: Program } {
  const inherited = (fd: number): Stream => terminal ? "terminal" : { fd };
  const wiring: LaunchFds = {
    streams: [inherited(0), inherited(1), inherited(2)],
    shim: shimFd,
    hostNetwork: hostNetwork(spec),
    lastProgram: shimFd + 1,
    report: shimFd + 2,
  };
  return { program: compile(spec, wiring), last: compileLast(spec.process, wiring) };
}
