/**
 * Compiler from a ContainerSpec to its program.
 *
 * @module
 */

import * as call from "../../ffi/program/calls.ts";
import { type Program, step } from "../../ffi/program/model.ts";
import type { ContainerSpec, ProcessSpec } from "./spec.ts";
import { cloneContainer, dieWithCaller, makeFoldersOf } from "./clone.ts";
import { makeDevices, mountKernelFiles } from "./filesystems.ts";
import { connectNetwork, keepNetwork, makeFiles } from "./network_steps.ts";
import {
  becomeCommand,
  changeDirectory,
  confirmDirectory,
  connectStreams,
  dropPrivileges,
  enterDirectory,
  execShim,
  initCommand,
  makeTerminal,
} from "./process.ts";
import { enterRootfs, finishRootfs, makeDirectory, userMounts } from "./rootfs.ts";
import type { LaunchFds } from "./launch_fds.ts";

function isBelow(folder: string): (path: string) => boolean {
  return (path) => path === folder || path.startsWith(folder + "/");
}

const inDev = isBelow("/dev"), inSys = isBelow("/sys"), inProc = isBelow("/proc");

// Mounts made before /proc exists cannot lead through /proc/self/fd to a directory of the host.
function fromImage(path: string): boolean {
  return !inDev(path) && !inSys(path) && !inProc(path);
}

/**
 * Returns all up to the command, in its working directory. The user's mounts come before the file systems that they
 * could disturb: a symbolic link of the image as a target then leads to a directory of the image, which /dev, /proc or
 * /sys covers afterwards.
 */
function make(spec: ContainerSpec, wiring: LaunchFds): Program {
  const { process } = spec;
  return [
    ...makeFoldersOf(spec),
    ...cloneContainer(spec),
    ...keepNetwork(spec, wiring),
    ...enterRootfs(spec),
    ...makeFiles(spec),
    ...userMounts(spec, (target) => !inDev(target) && !inSys(target)),
    ...(fromImage(process.cwd) ? makeDirectory(spec) : []),
    ...makeDevices(spec),
    ...userMounts(spec, inDev),
    ...(inDev(process.cwd) ? makeDirectory(spec) : []),
    ...makeTerminal(spec, wiring),
    ...mountKernelFiles(spec),
    ...userMounts(spec, inSys),
    ...finishRootfs(spec),
    step(`set the host name to ${spec.hostname}`, call.sethostname(spec.hostname)),
    ...connectNetwork(spec, wiring),
    ...connectStreams(wiring),
    ...enterDirectory(process),
    ...dropPrivileges(process),
    ...dieWithCaller(),
    ...confirmDirectory(process),
  ];
}

/**
 * Compiles the program that creates the container `spec`, in order. It ends in the shim, which continues with the
 * program of {@linkcode compileLast}. A monitor, which is the shim itself, executes a command without an init directly.
 * Pure.
 */
export function compile(spec: ContainerSpec, wiring: LaunchFds): Program {
  const { process } = spec;
  return [
    ...make(spec, wiring),
    ...(wiring.lastProgram < 0 ? becomeCommand(process, wiring) : execShim(process.init ? "init" : "join", wiring)),
  ];
}

/** Returns the program that executes the command of a container that has been made, in the shim. Pure. */
export function compileLast(process: ProcessSpec, wiring: LaunchFds): Program {
  return process.init ? initCommand(process, wiring) : becomeCommand(process, wiring);
}

/**
 * Compiles the program that creates the container `spec` without executing its command. Its process then waits for the
 * program of {@linkcode compileCommand} at the other end of the pipe that is wired as init's program. Pure.
 */
export function compileAhead(spec: ContainerSpec, wiring: LaunchFds): Program {
  return [...make(spec, wiring), ...execShim(spec.process.init ? "init" : "join", wiring)];
}

/** Returns the program that executes a command in a container that was made ahead, in the directory `cwd`. Pure. */
export function compileCommand(process: ProcessSpec, wiring: LaunchFds, cwd: string): Program {
  return [
    ...(process.cwd === cwd ? [] : changeDirectory(process)),
    ...compileLast(process, wiring),
  ];
}
