/**
 * Runs a container's program and tells what went wrong if something did.
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

/** A container's first process, just executed. */
export interface Launched {
  /** Its number in our pid namespace. */
  readonly pid: number;
  /** Its pidfd, for the caller to close. */
  readonly pidfd: number;
  /** The other side of its terminal, if it has one, for the caller to close. */
  readonly terminal?: number;
  /** What leads to it until it has its command, if it was made ahead. */
  readonly ends?: readonly End[];
}

/** Our end of a pipe. */
export interface End {
  /** The descriptor. */
  readonly fd: number;
  /** Closes it; a second time does nothing. */
  readonly close: () => void;
}

const KEPT = [REGISTERS.pidfd, REGISTERS.terminal];
let namespace: number | undefined;

/** A descriptor of this process's network namespace, open for good; -1 for a container that needs none. */
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
 * Makes the container and executes its command.
 *
 * @throws {SpawnError} if a step fails. The process is gone then; folders and control groups are the caller's to remove.
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
  try {
    const outcome = execute(compile(spec, { ...wiring, lastProgram, report }), KEPT);
    close(report);
    if (!outcome.ok) throw await describe(outcome, spec);
    const { failure: failed } = readReport(reading, { program: last, registers });
    if (!failed) return launched(outcome.registers);
    kill(launched(outcome.registers));
    throw await describe(failed, spec);
  } finally {
    close(lastProgram);
    close(reading);
  }
}

/** A container that was made ahead: its process waits for a command. */
export interface PreparedProcess extends Launched {
  /** Its standard streams. */
  readonly wired: LaunchFds["streams"];
  /** Its working directory. */
  readonly cwd: string;
  /** Where the command's program goes, and where a failure of that comes from. */
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
 * Makes the container but for its command.
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

/** Sends a program to a container that was made ahead, and reads what became of it. */
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
 * Executes the command of `spec` in a container that was made ahead.
 *
 * @throws {SpawnError} if that fails; the container's process is gone then, or about to be.
 * @throws {SystemError} `EPIPE` if the container has ended meanwhile.
 */
export async function command(ahead: PreparedProcess, spec: ContainerSpec): Promise<void> {
  const wiring: LaunchFds = { streams: ahead.wired, shim: shimFd, hostNetwork: -1, lastProgram: -1, report: -1 };
  const { failure } = send(ahead, compileCommand(spec.process, wiring, ahead.cwd));
  if (failure) throw await describe(failure, spec);
}

/** Kills a container that has just been launched, and waits until it is gone. */
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
 * The programs that {@linkcode launch} would run with the caller's own streams, for people to read: the one that makes the
 * container, and the one with which the shim executes its command.
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
