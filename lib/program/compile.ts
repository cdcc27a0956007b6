/**
 * From what a container is to be to the program that makes it so.
 *
 * @module
 */

import * as call from "../../ffi/calls.ts";
import { type Program, step } from "../../ffi/program.ts";
import type { ContainerSpec } from "../spec.ts";
import { birth, dieWithCaller, makeFoldersOf } from "./birth.ts";
import { makeDevices, mountKernelFiles } from "./filesystems.ts";
import { connectNetwork, keepNetwork, makeFiles } from "./network.ts";
import { becomeCommand, becomeInit, becomeUser, connectStreams, enterDirectory, makeTerminal } from "./process.ts";
import { enterRootfs, finishRootfs, makeDirectory, userMounts } from "./rootfs.ts";
import type { Wiring } from "./wiring.ts";

function isBelow(folder: string): (path: string) => boolean {
  return (path) => path === folder || path.startsWith(folder + "/");
}

const inDev = isBelow("/dev"), inSys = isBelow("/sys"), inProc = isBelow("/proc");

// What is made before /proc is there cannot lead through /proc/self/fd to a folder of the host.
function fromImage(path: string): boolean {
  return !inDev(path) && !inSys(path) && !inProc(path);
}

/**
 * The program that makes the container `spec` and executes its command, in order. Pure.
 *
 * The user's mounts come before the file systems that they could disturb: a symbolic link of the image as a target
 * then leads to a folder of the image, which /dev, /proc or /sys covers afterwards.
 */
export function compile(spec: ContainerSpec, wiring: Wiring): Program {
  const { process } = spec;
  return [
    ...makeFoldersOf(spec),
    ...birth(spec),
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
    ...connectStreams(process, wiring),
    ...becomeUser(process),
    ...dieWithCaller(),
    ...enterDirectory(process),
    ...(process.init ? becomeInit(wiring) : becomeCommand(process, wiring)),
  ];
}
