/**
 * The program that runs one more command in a running container. It is walked by a process of the shim's own, so that
 * nothing of the caller's memory is in reach of the container.
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

/** What joining needs from the moment in which it happens. All are descriptors of the process that walks the program. */
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
   * The pipe that is told which process runs the command. Default: we wait for the command, which is in our session and
   * process group, and dies with us.
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

/** What the command's process does before all else. */
function goOn({ report, diesWithCaller }: ExecFds): Program {
  if (report === undefined) {
    return [
      step("go on in a process of the container's, and wait for it", call.goOnInChild),
      step("die when the one that waits dies", call.dieWithParent),
    ];
  }
  return [
    step("go on in a process of the container's", call.goOnInSibling(report)),
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

/** Resource limits for the process that starts the command's, which is the user's for a moment, too, or while it waits. */
function limitsBefore({ rlimits }: ProcessSpec): Rlimit[] {
  const more = (value: number): number => value < 0 ? value : value + 1;
  return rlimits.map((limit) =>
    isOfProcesses(limit) ? { ...limit, soft: more(limit.soft), hard: more(limit.hard) } : limit
  );
}

/**
 * The program that enters a container's control groups and namespaces and executes a command there. Before any of its
 * processes can be seen in the container, and be stopped and looked into by one with CAP_SYS_PTRACE, all privileges and
 * descriptors are given up that the command is not to have, but for the pipe to the caller. `groups` are the files by which
 * groups are joined. Pure.
 */
export function joinProgram(process: ProcessSpec, groups: readonly string[], wiring: ExecFds): Program {
  const { terminal, report } = wiring;
  return [
    step("let nobody look into this process", call.notDumpable),
    ...groups.flatMap(joinGroup),
    step("enter the container's namespaces", call.setns(wiring.container, ...KINDS)),
    step("reset all signals", call.defaultSignals),
    ...connectStreams(wiring),
    ...closeAllBut(report),
    ...enterDirectory(process),
    ...dropPrivileges({ ...process, rlimits: limitsBefore(process) }),
    ...confirmDirectory(process),
    // With another user fs.suid_dumpable holds.
    step("let nobody look into it", call.notDumpable),
    ...goOn(wiring),
    ...(report === undefined ? [] : process.rlimits.filter(isOfProcesses).flatMap(setLimit)),
    ...(report === undefined ? [] : [step("lead a new session", call.setsid)]),
    ...(terminal === undefined ? [] : [step("take the terminal", call.controlTerminal(terminal))]),
    step("close all other descriptors on execution", call.closeOnExecFrom(3)),
    step("set the usual umask", call.umask(0o022)),
    step("unblock signals", call.unblockSignals),
    ...execute(process),
  ];
}

/**
 * The caller's program that starts the process which walks {@linkcode joinProgram}; `home` is as of
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
    ...inherited.filter((fd) => fd > 2).map((fd) => step("except what the command needs", call.stayOpen(fd))),
    step("execute the shim", call.execveFd(shim, argv, [])),
  ];
}
