/**
 * Steps that turn the container's process into the command.
 *
 * @module
 */

import * as call from "../../ffi/calls.ts";
import { callerStep, type Program, register, step } from "../../ffi/program.ts";
import type { ProcessSpec } from "../spec.ts";
import { REGISTERS, type Wiring } from "./wiring.ts";

const FIRST_BYTE = 0xffn, SLASH = 0x2fn;

/** What the name of every register begins with that keeps why a candidate could not be executed. */
export const CANDIDATE = "candidate:";

/** The label of the step that is reached when no candidate could be executed. */
export const NOT_FOUND = "find the command in PATH";

function candidates(process: ProcessSpec): string[] {
  const [command = ""] = process.args;
  const path = process.env.find((entry) => entry.startsWith("PATH="))?.slice(5) ?? "";
  return path.split(":").map((folder) => `${folder || "."}/${command}`);
}

function execute(process: ProcessSpec): Program {
  const [command = ""] = process.args;
  const label = `execute ${command}`;
  if (command.includes("/")) return [step(label, call.execve(command, process.args, process.env), { save: CANDIDATE })];
  return [
    ...candidates(process).map((path) =>
      step(label, call.execve(path, process.args, process.env), {
        save: CANDIDATE + path,
        ignore: ["ENOENT", "ENOTDIR", "EACCES", "ENAMETOOLONG"],
      })
    ),
    step(NOT_FOUND, call.expect({ words: [0], text: command }, 1n, 1n, "ENOENT")),
  ];
}

/** Goes to the working directory, which must lie in the container (CVE-2024-21626). */
export function enterDirectory(process: ProcessSpec): Program {
  const memory = { bytes: new Uint8Array(4096), text: "path" };
  return [
    step(`go to ${process.cwd}`, call.chdir(process.cwd)),
    step("ask where that is", call.getcwd(memory)),
    step("go on only if it is inside of the container", call.expect(memory, FIRST_BYTE, SLASH, "EXDEV")),
  ];
}

/** Connects the standard streams. */
export function connectStreams(process: ProcessSpec, wiring: Wiring): Program {
  const names = ["standard input", "standard output", "standard error"];
  return wiring.streams.flatMap((stream, i): Program => {
    if (stream === "terminal") {
      return [step(`connect ${names[i]} with the terminal`, call.dup(register("slave"), i))];
    }
    const owner = stream.owned && process.identity.uid !== 0
      ? [step(`give ${names[i]} to the user`, call.fchown(stream.fd, process.identity.uid))]
      : [];
    return stream.fd === i ? owner : [...owner, step(`connect ${names[i]}`, call.dup(stream.fd, i))];
  });
}

function leadSession(wiring: Wiring): Program {
  const terminal = wiring.streams.indexOf("terminal");
  return terminal < 0 ? [] : [step("take the terminal", call.controlTerminal(terminal))];
}

/** The last steps of a container whose PID 1 is the command itself. */
export function becomeCommand(process: ProcessSpec, wiring: Wiring): Program {
  return [
    ...leadSession(wiring),
    step("close all other descriptors on execution", call.closeOnExecFrom(3)),
    step("set the usual umask", call.umask(0o022)),
    step("unblock signals", call.unblockSignals),
    ...execute(process),
  ];
}

/** The last steps of a container whose PID 1 is Sauropod's init, which runs {@linkcode initCommand}. */
export function becomeInit(wiring: Wiring): Program {
  const [read, write] = wiring.report;
  const argv = ["sauropod-init", String(wiring.initProgram), String(write)];
  return [
    step("close all other descriptors on execution", call.closeOnExecFrom(3)),
    step("except init's program", call.stayOpen(wiring.initProgram)),
    step("and the pipe for its report", call.stayOpen(write)),
    step("set the usual umask", call.umask(0o022)),
    step("execute init", call.execveFd(wiring.shim, argv, [])),
    callerStep("close our end of the report", call.close(write)),
    callerStep("wait until init has executed the command", call.readInto(read, REGISTERS.report)),
  ];
}

/** The program that init runs in its child. */
export function initCommand(process: ProcessSpec, wiring: Wiring): Program {
  return [
    step("lead a new session", call.setsid),
    ...leadSession(wiring),
    step("reset all signals", call.defaultSignals),
    step("close all other descriptors on execution", call.closeOnExecFrom(3)),
    step("unblock signals", call.unblockSignals),
    ...execute(process),
  ];
}
