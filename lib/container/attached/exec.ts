/**
 * Additional commands in a running container (exec).
 *
 * @module
 */

import { execute, programFile, shimFd } from "../../../ffi/program/execute.ts";
import { Fd } from "../../../ffi/fs/fd.ts";
import { isAmongTerminals } from "../../../ffi/fs/filesystems.ts";
import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt, openIn, statusAt } from "../../../ffi/fs/fs.ts";
import {
  isChild,
  openProcess,
  openTerminal,
  pipe,
  reap,
  reapNow,
  resizeTerminal,
  sendSignal,
  SIGKILL,
} from "../../../ffi/process/process.ts";
import { waysInto } from "../../cgroup/enter.ts";
import { lastingGroup, thisHost } from "../../cgroup/host.ts";
import { ContainerError, InputError, SpawnError } from "../../errors.ts";
import { findFolders, type FolderOptions } from "../../host/folders.ts";
import { lazy } from "../../lazy.ts";
import { joinProgram, startJoin } from "../../program/join.ts";
import type { Stream } from "../../program/launch_fds.ts";
import { signalNumber } from "../../host/signals.ts";
import type { ProcessSpec } from "../../program/spec.ts";
import { Child, type CommandStatus, type Written } from "./child.ts";
import type { FailedStep } from "./failure.ts";
import { checkNul, hostnameOf, prepareProcess } from "../spec/spec.ts";
import { type ContainerRecord, lowerOf } from "../state/record.ts";
import { readReport } from "./report.ts";
import { findRunning, type Running } from "./running.ts";
import { connect, type Connection, type StreamOptions } from "./streams.ts";

/** Options of {@linkcode exec}. */
export interface ExecOptions extends FolderOptions, StreamOptions {
  /** Additional environment variables. */
  env?: Readonly<Record<string, string>>;
  /** Working directory, absolute. Default: the container's. */
  cwd?: string;
  /** User and group as `NAME|UID[:GROUP|GID]`. Default: the container's. */
  user?: string;
  /** Give all capabilities. Default: the container's. */
  privileged?: boolean;
  /** Let the command outlive this process. Its streams must be `null` then. Default: false. */
  detach?: boolean;
  /** Kills the command with SIGKILL when aborted. */
  signal?: AbortSignal;
}

/** A command that was started by `exec`. `await using` kills it at the end of the scope if it is still running. */
export interface ExecProcess extends Child<CommandStatus>, AsyncDisposable {}

/** Exit status and output of a command, in the shape of `Deno.CommandOutput`. */
export type ExecOutput = CommandStatus & Written;

/** Time in which background processes of a command may write to its pipes after its exit, as with docker. */
const GRACE_MS = 2000;

/** Returns the process to execute: the container's, with another command. */
function processOf(
  containers: string,
  record: ContainerRecord,
  command: readonly string[],
  { env, cwd, user, privileged }: ExecOptions,
): Promise<ProcessSpec> {
  const { id, options } = record;
  return prepareProcess(
    [`${containers}/${id}/upper`, ...lowerOf(record)],
    command,
    {
      ...options,
      env: { ...options.env, ...env },
      ...(cwd === undefined ? {} : { cwd }),
      ...(user === undefined ? {} : { user }),
      ...(privileged ? { privileged: true } : {}),
    },
    hostnameOf(id, options),
  );
}

/** Opens a new pseudo-terminal in the devpts of the container. Refuses any other file system in its place. */
function makeTerminal(pid: number, uid: number): [master: number, slave: number] {
  using root = new Fd(openAt(AT_FDCWD, `/proc/${pid}/root`, flags("O", "PATH", "DIRECTORY")));
  using found = new Fd(openIn(root.number, "/dev/pts/ptmx", flags("O", "PATH", "NOFOLLOW")));
  if (!isAmongTerminals(found.number) || statusAt(found.number).rdev !== "5:2") {
    throw new ContainerError("cannot open a terminal: /dev/pts of the container has been replaced", {
      code: "no-terminals",
      hint: "use --tty=false",
    });
  }
  const multiplexer = openAt(AT_FDCWD, `/proc/self/fd/${found.number}`, flags("O", "RDWR", "NOCTTY"));
  return openTerminal(multiplexer, uid);
}

/** Streams of the command, and both ends of its terminal. */
interface Wires {
  readonly streams: readonly [Stream, Stream, Stream];
  readonly terminal?: { readonly index: number; readonly master: number; readonly slave: number };
}

function wire({ streams, size }: Connection, pid: number, uid: number): Wires {
  const index = streams.indexOf("terminal");
  if (index < 0) return { streams };
  const [master, slave] = makeTerminal(pid, uid);
  try {
    if (size) resizeTerminal(master, size.columns, size.rows);
  } catch (error) {
    [master, slave].forEach(close);
    throw error;
  }
  const replace = (stream: Stream): Stream => stream === "terminal" ? { fd: slave } : stream;
  const [stdin, stdout, stderr] = streams;
  return { streams: [replace(stdin), replace(stdout), replace(stderr)], terminal: { index, master, slave } };
}

async function describe(failure: FailedStep, process: ProcessSpec): Promise<Error> {
  const { describeFailure } = await lazy.failure();
  return describeFailure(failure, { process });
}

/**
 * Returns a pidfd of the reported process `pid`, or undefined if it is not a child of this process in the PID namespace of
 * `container`, or gone. The report is not trusted: with CAP_SYS_PTRACE the container can write to its pipe.
 */
function openReported(pid: number, container: number): number | undefined {
  const namespaceOf = (pid: number): string => Deno.readLinkSync(`/proc/${pid}/ns/pid`);
  let pidfd = -1;
  try {
    pidfd = openProcess(pid);
    if (isChild(pidfd) && namespaceOf(pid) === namespaceOf(container)) return pidfd;
  } catch {
    // One of them has exited.
  }
  close(pidfd);
  return undefined;
}

/** Starts the command. Returns its PID and a pidfd. */
async function launch(
  { record, pid: first, pidfd: container }: Running,
  process: ProcessSpec,
  { streams, terminal }: Wires,
  detach: boolean,
): Promise<{ pid: number; pidfd: number }> {
  const [reading, report] = pipe();
  const wiring = { container, streams, report, diesWithCaller: !detach };
  const { born, files } = waysInto(record.cgroups);
  const program = joinProgram(process, files, terminal ? { ...wiring, terminal: terminal.index } : wiring);
  let file: ReturnType<typeof programFile> | undefined, reportOpen = true;
  const closeReport = (): void => {
    if (reportOpen) close(report);
    reportOpen = false;
  };
  try {
    file = programFile(program);
    const needed = streams.flatMap((stream) => stream === "terminal" ? [] : [stream.fd]);
    const inherited = [file.fd, report, container, ...needed];
    const home = born ?? (detach ? lastingGroup(thisHost()) : undefined);
    const outcome = execute(startJoin(shimFd, file.fd, report, inherited, home), ["joiner"]);
    closeReport();
    if (!outcome.ok) throw await describe(outcome, process);
    const { pid, failure } = readReport(reading, { program, registers: file.registers });
    reapNow(outcome.registers.get("joiner") ?? -1);
    const pidfd = pid === undefined ? undefined : openReported(pid, first);
    if (pid !== undefined && pidfd !== undefined && !failure) return { pid, pidfd };
    if (pidfd !== undefined) {
      sendSignal(pidfd, SIGKILL);
      reapNow(pidfd);
    }
    if (failure) throw await describe(failure, process);
    throw new SpawnError(`cannot execute the command: container ${record.id} has exited`, {
      code: "container-not-running",
      exitCode: 125,
    });
  } finally {
    closeReport();
    if (file) close(file.fd);
    close(reading);
  }
}

function checkCommand(command: readonly string[], options: ExecOptions): void {
  const [name] = command;
  if (name === undefined || name === "") {
    throw new InputError("command required", { code: "no-command", hint: "add a command, such as sh" });
  }
  checkNul(command, options);
}

/**
 * Runs an additional command in a running container, given by name, ID or prefix of an ID: in all its namespaces and
 * control groups, by default with its user and capabilities.
 *
 * The standard streams are those of `run`. Call it on the main thread.
 *
 * @throws {InputError} for invalid options.
 * @throws {ContainerError} `container-not-found`, `container-ambiguous`, `container-not-running`,
 * `container-paused`.
 * @throws {SpawnError} if the command could not be executed.
 */
export async function exec(
  container: string,
  command: readonly string[],
  options: ExecOptions = {},
): Promise<ExecProcess> {
  options.signal?.throwIfAborted();
  checkCommand(command, options);
  const { containers } = findFolders(options);
  const running = await findRunning(containers, container);
  using _ = new Fd(running.pidfd);
  return await start(running, await processOf(containers, running.record, command, options), options);
}

async function start(running: Running, process: ProcessSpec, options: ExecOptions): Promise<ExecProcess> {
  const connection = await connect(options, process);
  let wires: Wires | undefined, launched: { pid: number; pidfd: number } | undefined;
  try {
    wires = wire(connection, running.pid, process.identity.uid);
    launched = await launch(running, process, wires, options.detach ?? false);
    const streams = await connection.start(wires.terminal?.master);
    if (wires.terminal) close(wires.terminal.slave);
    return follow(launched.pid, launched.pidfd, streams, options.signal);
  } catch (error) {
    if (launched) {
      sendSignal(launched.pidfd, SIGKILL);
      reapNow(launched.pidfd);
    }
    connection.abandon();
    if (wires?.terminal) [wires.terminal.master, wires.terminal.slave].forEach(close);
    throw error;
  }
}

function follow(
  pid: number,
  pidfd: number,
  streams: Awaited<ReturnType<Connection["start"]>>,
  signal: AbortSignal | undefined,
): ExecProcess {
  let ended = false;
  const kill = (name: Deno.Signal | number = "SIGTERM"): boolean => !ended && sendSignal(pidfd, signalNumber(name));
  const abort = (): void => void kill(SIGKILL);
  signal?.addEventListener("abort", abort);
  if (signal?.aborted) abort();
  const gone = (): void => {
    ended = true;
    signal?.removeEventListener("abort", abort);
  };
  const status = reap(pidfd, gone).then(async (ending) => {
    await streams.drain(GRACE_MS);
    return { success: ending.code === 0, code: ending.code, signal: ending.signal ?? null };
  });
  const child = new Child<CommandStatus>(pid, streams, status, kill);
  return Object.assign(child, {
    async [Symbol.asyncDispose](): Promise<void> {
      kill(SIGKILL);
      await status;
      streams.close();
    },
  });
}
