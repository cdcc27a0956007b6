/**
 * Program of `exec`: runs a command in a running container. A process of the shim executes it, so that the container
 * cannot reach the caller's memory.
 *
 * @module
 */

import * as call from "../../ffi/program/calls.ts";
import { flags } from "../../ffi/program/flags.ts";
import { type Program, register, step } from "../../ffi/program/model.ts";
import type { ProcessSpec, Rlimit } from "./spec.ts";
import { dieWith } from "./clone.ts";
import { spawnOutsideSession } from "./monitor_programs.ts";
import { confirmDirectory, connectStreams, dropPrivileges, enterDirectory, execute, setLimit } from "./process.ts";
import type { LaunchFds } from "./launch_fds.ts";

const KINDS = ["NEWNS", "NEWPID", "NEWUTS", "NEWIPC", "NEWNET", "NEWCGROUP"] as const;

/** Descriptors for joining, in the process that executes the program. */
export interface ExecFds {
  /** A pidfd of the container's first process. */
  readonly container: number;
  /** Standard input, output and error. */
  readonly streams: LaunchFds["streams"];
  /** Which of the streams is a terminal that the command is to control. Default: none. */
  readonly terminal?: number;
  /** Whether the command is to die with the caller, which has the other end of `report`. Default: it lives on. */
  readonly diesWithCaller?: boolean;
  /**
   * The pipe that reports the PID of the command. Default: the caller waits for the command, which is in the caller's
   * session and process group and dies with the caller.
   */
  readonly report?: number;
}

function joinGroup(file: string): Program {
  const label = `join ${file.slice(0, file.lastIndexOf("/"))}`, opened = `group:${file}`;
  return [
    step(label, call.open(file, flags("O", "WRONLY")), { save: opened, ignore: ["ENOENT"] }),
    step(label, call.write(register(opened), "0"), { when: opened }),
  ];
}

/** Returns the first steps of the command's process. */
function goOn({ report, diesWithCaller }: ExecFds): Program {
  if (report === undefined) {
    return [
      step("continue in a process inside the container, and wait for it", call.goOnInChild),
      step("die when the waiting process dies", call.dieWithParent),
    ];
  }
  return [
    step("continue in a process inside the container", call.goOnInSibling(report)),
    // Of the pipe's other end there is one, the caller's.
    ...(diesWithCaller ? dieWith(report) : []),
  ];
}

function closeAllBut(fd: number | undefined): Program {
  const label = "close all other descriptors";
  if (fd === undefined) return [step(label, call.closeRange(3))];
  return [
    ...(fd > 3 ? [step(label, call.closeRange(3, fd - 1))] : []),
    step(label, call.closeRange(fd + 1)),
  ];
}

const isOfProcesses = ({ resource }: Rlimit): boolean => resource === "nproc";

/**
 * Returns the resource limits for the intermediate process, which belongs to the container's user for a moment or while
 * it waits.
 */
function limitsBefore({ rlimits }: ProcessSpec): Rlimit[] {
  const more = (value: number): number => value < 0 ? value : value + 1;
  return rlimits.map((limit) =>
    isOfProcesses(limit) ? { ...limit, soft: more(limit.soft), hard: more(limit.hard) } : limit
  );
}

/**
 * Returns the program that joins a container's control groups (through the files `groups`) and namespaces and executes
 * a command there. Before any of its processes is visible in the container, where one with CAP_SYS_PTRACE could inspect
 * it, all privileges and descriptors that the command must not have are dropped, except the pipe to the caller. Pure.
 */
export function joinProgram(process: ProcessSpec, groups: readonly string[], wiring: ExecFds): Program {
  const { terminal, report } = wiring;
  return [
    step("make this process not dumpable", call.notDumpable),
    ...groups.flatMap(joinGroup),
    step("enter the container's namespaces", call.setns(wiring.container, ...KINDS)),
    step("reset all signals", call.defaultSignals),
    ...connectStreams(wiring),
    ...closeAllBut(report),
    ...enterDirectory(process),
    ...dropPrivileges({ ...process, rlimits: limitsBefore(process) }),
    ...confirmDirectory(process),
    // With another user fs.suid_dumpable holds.
    step("make it not dumpable", call.notDumpable),
    ...goOn(wiring),
    ...(report === undefined ? [] : process.rlimits.filter(isOfProcesses).flatMap(setLimit)),
    ...(report === undefined ? [] : [step("lead a new session", call.setsid)]),
    ...(terminal === undefined ? [] : [step("take the terminal", call.controlTerminal(terminal))]),
    step("close all other descriptors on execution", call.closeOnExecFrom(3)),
    step("set umask 022", call.umask(0o022)),
    step("unblock signals", call.unblockSignals),
    ...execute(process),
  ];
}

/**
 * Returns the caller's program that starts the process which walks {@linkcode joinProgram}; `home` is as of
 * {@linkcode spawnOutsideSession}.
 */
export function startJoin(
  shim: number,
  program: number,
  report: number,
  inherited: readonly number[],
  home: string | undefined,
): Program {
  const argv = ["sauropod-join", String(program), String(report)];
  return [
    ...spawnOutsideSession("start a process that joins the container", "joiner", home),
    step("close all descriptors on execution", call.closeOnExecFrom(3)),
    ...inherited.filter((fd) => fd > 2).map((fd) =>
      step("keep the descriptors that the command needs", call.stayOpen(fd))
    ),
    step("execute the shim", call.execveFd(shim, argv, [])),
  ];
}
