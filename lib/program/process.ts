/**
 * Steps from the container's process to its command: terminal, streams, resource limits, credentials, capabilities and
 * execve.
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

/** Returns the steps that open the container's pseudo-terminal and hand its master to the caller. */
export function makeTerminal(spec: ContainerSpec, wiring: LaunchFds): Program {
  if (!wiring.streams.includes("terminal")) return [];
  const master = register("master"), slave = register("slave");
  const size = wiring.terminalSize;
  return [
    step("open a pseudo-terminal", call.open("/dev/pts/ptmx", flags("O", "RDWR", "NOCTTY")), { save: "master" }),
    step("unlock the pseudo-terminal", call.unlockTerminal(master)),
    step("open the terminal's container side", call.openTerminalPeer(master), { save: "slave" }),
    ...(size ? [step("set the terminal's size", call.setWindowSize(master, size.columns, size.rows))] : []),
    step("give the terminal to the user", call.fchown(slave, spec.process.identity.uid)),
    step("make /dev/console", call.createFile("/dev/console", 0o600)),
    step("mount the terminal on /dev/console", call.mount("/dev/pts/0", "/dev/console", null, flags("MS", "BIND"))),
    callerStep("fetch the terminal's master", call.pidfdGetfd(register(REGISTERS.pidfd), master), {
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

/** Returns the steps that set the command's resource limits, capabilities, user and groups. */
export function dropPrivileges(process: ProcessSpec): Program {
  const { uid, gid, groups } = process.identity;
  const kept = uid === 0 ? process.capabilities : process.ambient;
  const inherited = uid === 0 ? [] : process.ambient;
  const dropped = CAPABILITIES.filter((name) => !process.capabilities.includes(name));
  const text = (names: readonly Capability[]): string => names.map((name) => `CAP_${name}`).join("|") || "0";
  return [
    step("join a new session keyring", call.joinSessionKeyring, { ignore: ["ENOSYS"] }),
    ...process.rlimits.flatMap(setLimit),
    step(
      "drop all other capabilities from the bounding set",
      call.dropBounding(capabilityMask(dropped), text(dropped)),
    ),
    step("set supplementary groups", call.setgroups(groups)),
    step(`set group ${gid}`, call.setresgid(gid)),
    ...(inherited.length ? [step("keep capabilities across the change of user", call.keepCapabilities)] : []),
    step(`set user ${uid}`, call.setresuid(uid)),
    step(
      "set capabilities",
      call.capset(
        capabilityMask(kept),
        capabilityMask(inherited),
        `{permitted=effective=${text(kept)}, inheritable=${text(inherited)}}`,
      ),
    ),
    ...inherited.map((name) => step(`keep ${name} for the command`, call.raiseAmbient(numbered(name)))),
    ...(process.noNewPrivileges ? [step("set no_new_privs", call.noNewPrivileges)] : []),
  ];
}

const FIRST_BYTE = 0xffn, SLASH = 0x2fn;

/** Prefix of the registers that keep a candidate's errno. */
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
  return [step(`change to ${cwd}`, call.chdir(cwd), { save: ENTERED, ignore: ["EACCES"] })];
}

/** Requires the working directory to lie in the container, which it is asked itself (CVE-2024-21626). */
function checkDirectory(): Program {
  const memory = { bytes: new Uint8Array(4096), text: "path" };
  return [
    step("get the working directory", call.getcwd(memory)),
    step("require it to be inside the container", call.expect(memory, FIRST_BYTE, SLASH, "EXDEV")),
  ];
}

/**
 * Enters the working directory as the command's user if that was refused with all privileges, as file systems of other
 * machines can do, and checks that it lies in the container.
 */
export function confirmDirectory({ cwd }: ProcessSpec): Program {
  const refused = call.expect({ cell: ENTERED }, -1n, BigInt(-errnoNumber("EACCES")), "EEXIST");
  return [
    step("check whether that was denied", refused, { save: REFUSED, ignore: ["EEXIST"] }),
    step(`change to ${cwd}`, call.chdir(cwd), { when: REFUSED }),
    ...checkDirectory(),
  ];
}

/** Changes to a working directory other than the one that the container was made with. */
export function changeDirectory({ cwd }: ProcessSpec): Program {
  return [step(`change to ${cwd}`, call.chdir(cwd)), ...checkDirectory()];
}

/** Connects the standard streams. */
export function connectStreams(wiring: Pick<LaunchFds, "streams">): Program {
  const names = ["standard input", "standard output", "standard error"];
  return wiring.streams.flatMap((stream, i): Program => {
    if (stream === "terminal") {
      return [step(`connect ${names[i]} to the terminal`, call.dup(register("slave"), i))];
    }
    const { fd, mode } = stream;
    const open = mode === undefined ? [] : [step(`let the user open ${names[i]} by name`, call.fchmod(fd, mode))];
    return fd === i ? open : [...open, step(`connect ${names[i]}`, call.dup(fd, i))];
  });
}

function leadSession(wiring: LaunchFds): Program {
  const terminal = wiring.streams.indexOf("terminal");
  return terminal < 0 ? [] : [step("set the controlling terminal", call.controlTerminal(terminal))];
}

/**
 * Returns the program that executes the command as a container's PID 1. Only the shim can walk it: see
 * `ffi/shim/program.c`.
 */
export function becomeCommand(process: ProcessSpec, wiring: LaunchFds): Program {
  return [
    ...leadSession(wiring),
    step("close all other descriptors on execution", call.closeOnExecFrom(3)),
    step("set umask 022", call.umask(0o022)),
    step("unblock signals", call.unblockSignals),
    ...execute(process),
  ];
}

/**
 * Returns the last steps of a container with a shim as PID 1: init, which runs {@linkcode initCommand} in its child, or
 * one that executes another program itself.
 */
export function execShim(mode: "init" | "join", wiring: LaunchFds): Program {
  const argv = [`sauropod-${mode}`, String(wiring.lastProgram), String(wiring.report)];
  return [
    step("close all other descriptors on execution", call.closeOnExecFrom(3)),
    step("keep the descriptor of its program", call.stayOpen(wiring.lastProgram)),
    step("keep the pipe for its report", call.stayOpen(wiring.report)),
    step("set umask 022", call.umask(0o022)),
    step(mode === "init" ? "execute init" : "execute the shim", call.execveFd(wiring.shim, argv, [])),
  ];
}

/** Returns the program that init runs in its child. */
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
