/**
 * The program that runs one more command in a running container. It is walked by a process of the shim's own, so that
 * nothing of the caller's memory is in reach of the container.
 *
 * @module
 */

import * as call from "../../ffi/calls.ts";
import { flags } from "../../ffi/flags.ts";
import { type Program, register, step } from "../../ffi/program.ts";
import type { ProcessSpec } from "../spec.ts";
import { dieWith } from "./birth.ts";
import { startApart } from "./detach.ts";
import { becomeUser, connectStreams, enterDirectory, execute } from "./process.ts";
import type { Wiring } from "./wiring.ts";

const KINDS = ["NEWNS", "NEWPID", "NEWUTS", "NEWIPC", "NEWNET", "NEWCGROUP"] as const;

/** What joining needs from the moment in which it happens. All are descriptors of the process that walks the program. */
export interface JoinWiring {
  /** A pidfd of the container's first process. */
  readonly container: number;
  /** Standard input, output and error. */
  readonly streams: Wiring["streams"];
  /** Which of the streams is a terminal that the command is to control. Default: none. */
  readonly terminal?: number;
  /** A pidfd of the process with which the command is to die. Default: it lives on. */
  readonly owner?: number;
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

function goOn({ report }: JoinWiring): Program {
  return report === undefined
    ? [step("go on in a process of the container's, and wait for it", call.goOnInChild)]
    : [step("go on in a process of the container's", call.goOnInSibling(report))];
}

function dying({ report, owner }: JoinWiring): Program {
  if (report === undefined) return [step("die when the one that waits dies", call.dieWithParent)];
  return owner === undefined ? [] : dieWith(owner);
}

/**
 * The program that enters a container's control groups and namespaces and executes a command there; `groups` are the files
 * by which groups are joined. Pure.
 */
export function joinProgram(process: ProcessSpec, groups: readonly string[], wiring: JoinWiring): Program {
  const { terminal } = wiring;
  return [
    step("let nobody look into this process", call.notDumpable),
    ...groups.flatMap(joinGroup),
    step("enter the container's namespaces", call.setns(wiring.container, ...KINDS)),
    ...goOn(wiring),
    ...dying(wiring),
    step("reset all signals", call.defaultSignals),
    ...(wiring.report === undefined ? [] : [step("lead a new session", call.setsid)]),
    ...connectStreams(process, wiring),
    ...(terminal === undefined ? [] : [step("take the terminal", call.controlTerminal(terminal))]),
    ...becomeUser(process),
    // Changing the user has taken this back.
    ...dying(wiring),
    ...enterDirectory(process),
    step("close all other descriptors on execution", call.closeOnExecFrom(3)),
    step("set the usual umask", call.umask(0o022)),
    step("unblock signals", call.unblockSignals),
    ...execute(process),
  ];
}

/**
 * The caller's program that starts the process which walks {@linkcode joinProgram}; `home` is as of
 * {@linkcode startApart}.
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
    ...startApart("start a process that joins the container", "joiner", home),
    step("close all descriptors on execution", call.closeOnExecFrom(3)),
    ...inherited.filter((fd) => fd > 2).map((fd) => step("except what the command needs", call.stayOpen(fd))),
    step("execute the shim", call.execveFd(shim, argv, [])),
  ];
}
