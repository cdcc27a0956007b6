/**
 * Steps that turn the container's process into the command: its terminal and streams, its user and privileges, and
 * the execution.
 *
 * @module
 */

import * as call from "../../ffi/program/calls.ts";
import { errnoNumber } from "../../ffi/errno.ts";
import { type Flags, flags, RLIMITS } from "../../ffi/program/flags.ts";
import { callerStep, type Program, register, step } from "../../ffi/program/model.ts";
import { CAPABILITIES, type Capability, capabilityMask } from "../host/capabilities.ts";
import type { ContainerSpec, ProcessSpec, Rlimit } from "./spec.ts";
import { type LaunchFds, REGISTERS } from "./launch_fds.ts";

/** Makes the container's own terminal and hands its other side to the caller. */
export function makeTerminal(spec: ContainerSpec, wiring: LaunchFds): Program {
  if (!wiring.streams.includes("terminal")) return [];
  const master = register("master"), slave = register("slave");
  const size = wiring.terminalSize;
  return [
    step("open a pseudo-terminal", call.open("/dev/pts/ptmx", flags("O", "RDWR", "NOCTTY")), { save: "master" }),
    step("unlock the pseudo-terminal", call.unlockTerminal(master)),
    step("open its container side", call.openTerminalPeer(master), { save: "slave" }),
    ...(size ? [step("set its size", call.setWindowSize(master, size.columns, size.rows))] : []),
    step("give it to the user", call.fchown(slave, spec.process.identity.uid)),
    step("make /dev/console", call.createFile("/dev/console", 0o600)),
    step("mount the terminal on /dev/console", call.mount("/dev/pts/0", "/dev/console", null, flags("MS", "BIND"))),
    callerStep("take the terminal's other side", call.pidfdGetfd(register(REGISTERS.pidfd), master), {
      save: REGISTERS.terminal,
    }),
  ];
}

const NO_LIMIT = 0xffffffffffffffffn;

function numbered(capability: Capability): Flags {
  return { value: CAPABILITIES.indexOf(capability), text: `CAP_${capability}` };
}

/** Sets a resource limit. */
export function setLimit({ resource, soft, hard }: Rlimit): Program {
  const limit = Object.entries(RLIMITS).find(([name]) => name === resource)?.[1];
  if (!limit) return [];
  const bits = (value: number): bigint => value < 0 ? NO_LIMIT : BigInt(value);
  return [step(`limit ${resource} to ${soft}:${hard}`, call.setrlimit(limit, bits(soft), bits(hard)))];
}

/** Resource limits, capabilities, user and groups of the command. */
export function dropPrivileges(process: ProcessSpec): Program {
  const { uid, gid, groups } = process.identity;
  const kept = uid === 0 ? process.capabilities : process.ambient;
  const inherited = uid === 0 ? [] : process.ambient;
  const dropped = CAPABILITIES.filter((name) => !process.capabilities.includes(name));
  const text = (names: readonly Capability[]): string => names.map((name) => `CAP_${name}`).join("|") || "0";
  return [
    step("leave the caller's keyring", call.joinSessionKeyring, { ignore: ["ENOSYS"] }),
    ...process.rlimits.flatMap(setLimit),
    step("give up all other capabilities for good", call.dropBounding(capabilityMask(dropped), text(dropped))),
    step("set supplementary groups", call.setgroups(groups)),
    step(`become group ${gid}`, call.setresgid(gid)),
    ...(inherited.length ? [step("keep capabilities across the change of user", call.keepCapabilities)] : []),
    step(`become user ${uid}`, call.setresuid(uid)),
    step(
      "keep only the capabilities allowed",
      call.capset(
        capabilityMask(kept),
        capabilityMask(inherited),
        `{permitted=effective=${text(kept)}, inheritable=${text(inherited)}}`,
      ),
    ),
    ...inherited.map((name) => step(`keep ${name} for the command`, call.raiseAmbient(numbered(name)))),
    ...(process.noNewPrivileges ? [step("gain no privileges ever again", call.noNewPrivileges)] : []),
  ];
}

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

/** Executes the command, which is looked for in PATH if it has no slash. */
export function execute(process: ProcessSpec): Program {
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

const ENTERED = "working-directory", REFUSED = "refused-directory";

/**
 * Enters the working directory before privileges are given up: the command's user need not be allowed to enter it
 * himself. {@linkcode confirmDirectory} follows once they are.
 */
export function enterDirectory({ cwd }: ProcessSpec): Program {
  return [step(`go to ${cwd}`, call.chdir(cwd), { save: ENTERED, ignore: ["EACCES"] })];
}

/** Requires the working directory to lie in the container, which it is asked itself (CVE-2024-21626). */
function checkDirectory(): Program {
  const memory = { bytes: new Uint8Array(4096), text: "path" };
  return [
    step("ask where that is", call.getcwd(memory)),
    step("go on only if it is inside of the container", call.expect(memory, FIRST_BYTE, SLASH, "EXDEV")),
  ];
}

/**
 * Enters the working directory as the command's user if that was refused with all privileges, as file systems of other
 * machines can do, and checks that it lies in the container.
 */
export function confirmDirectory({ cwd }: ProcessSpec): Program {
  const refused = call.expect({ cell: ENTERED }, -1n, BigInt(-errnoNumber("EACCES")), "EEXIST");
  return [
    step("look whether that was refused", refused, { save: REFUSED, ignore: ["EEXIST"] }),
    step(`go to ${cwd}`, call.chdir(cwd), { when: REFUSED }),
    ...checkDirectory(),
  ];
}

/** Changes to a working directory other than the one that the container was made with. */
export function changeDirectory({ cwd }: ProcessSpec): Program {
  return [step(`go to ${cwd}`, call.chdir(cwd)), ...checkDirectory()];
}

/** Connects the standard streams. */
export function connectStreams(wiring: Pick<LaunchFds, "streams">): Program {
  const names = ["standard input", "standard output", "standard error"];
  return wiring.streams.flatMap((stream, i): Program => {
    if (stream === "terminal") {
      return [step(`connect ${names[i]} with the terminal`, call.dup(register("slave"), i))];
    }
    const { fd, mode } = stream;
    const open = mode === undefined ? [] : [step(`let its user open ${names[i]} by name`, call.fchmod(fd, mode))];
    return fd === i ? open : [...open, step(`connect ${names[i]}`, call.dup(fd, i))];
  });
}

function leadSession(wiring: LaunchFds): Program {
  const terminal = wiring.streams.indexOf("terminal");
  return terminal < 0 ? [] : [step("take the terminal", call.controlTerminal(terminal))];
}

/** The program that executes the command as a container's PID 1. Only the shim can walk it: see `ffi/shim/program.c`. */
export function becomeCommand(process: ProcessSpec, wiring: LaunchFds): Program {
  return [
    ...leadSession(wiring),
    step("close all other descriptors on execution", call.closeOnExecFrom(3)),
    step("set the usual umask", call.umask(0o022)),
    step("unblock signals", call.unblockSignals),
    ...execute(process),
  ];
}

/**
 * The last steps of a container whose PID 1 is Sauropod's own: init, which runs {@linkcode initCommand} in its child, or
 * one that goes on with a program itself.
 */
export function execShim(mode: "init" | "join", wiring: LaunchFds): Program {
  const argv = [`sauropod-${mode}`, String(wiring.lastProgram), String(wiring.report)];
  return [
    step("close all other descriptors on execution", call.closeOnExecFrom(3)),
    step("except its program's", call.stayOpen(wiring.lastProgram)),
    step("and the pipe for its report", call.stayOpen(wiring.report)),
    step("set the usual umask", call.umask(0o022)),
    step(mode === "init" ? "execute init" : "execute the shim", call.execveFd(wiring.shim, argv, [])),
  ];
}

/** The program that init runs in its child. */
export function initCommand(process: ProcessSpec, wiring: LaunchFds): Program {
  return [
    step("lead a new session", call.setsid),
    ...leadSession(wiring),
    step("reset all signals", call.defaultSignals),
    step("close all other descriptors on execution", call.closeOnExecFrom(3)),
    step("unblock signals", call.unblockSignals),
    ...execute(process),
  ];
}
