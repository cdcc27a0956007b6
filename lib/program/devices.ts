/**
 * Steps that build the container's /dev, as the OCI runtime specification's Linux part lists it, and its terminal.
 *
 * @module
 */

import * as call from "../../ffi/calls.ts";
import { flags } from "../../ffi/flags.ts";
import { callerStep, type Program, register, step } from "../../ffi/program.ts";
import type { ContainerSpec, Device } from "../spec.ts";
import { REGISTERS, usesTerminal, type Wiring } from "./wiring.ts";

const TERMINAL_GROUP = 5;

function character(name: string, major: number, minor: number): Device {
  return { path: `/dev/${name}`, kind: "c", major, minor, mode: 0o666 };
}

const STANDARD: readonly Device[] = [
  character("null", 1, 3),
  character("zero", 1, 5),
  character("full", 1, 7),
  character("random", 1, 8),
  character("urandom", 1, 9),
  character("tty", 5, 0),
];

const LINKS = [
  ["/proc/self/fd", "/dev/fd"],
  ["/proc/self/fd/0", "/dev/stdin"],
  ["/proc/self/fd/1", "/dev/stdout"],
  ["/proc/self/fd/2", "/dev/stderr"],
  ["pts/ptmx", "/dev/ptmx"],
] as const;

/** Mounts a file system on a folder right below the root, which must be a folder and no symbolic link. */
export function mountOnTop(
  type: string,
  path: string,
  how: ReturnType<typeof flags>,
  data?: string,
  source = type,
): Program {
  const label = `mount ${type} on ${path}`;
  const opened = `folder:${path}`;
  return [
    step(`make ${path}`, call.mkdir(path, 0o755), { ignore: ["EEXIST"] }),
    step(`open ${path}, which must be a folder`, call.open(path, flags("O", "PATH", "DIRECTORY", "NOFOLLOW")), {
      save: opened,
    }),
    step(`go to ${path}`, call.fchdir(register(opened))),
    step(label, call.mount(source, ".", type, how, data)),
    step("go back to the root", call.chdir("/")),
  ];
}

function makeDevice({ path, kind, major, minor, mode }: Device): Program {
  const parts = path.split("/").slice(2, -1);
  const folders = parts.map((_, i) => "/dev/" + parts.slice(0, i + 1).join("/"));
  return [
    ...folders.map((folder) => step(`make ${folder}`, call.mkdir(folder, 0o755), { ignore: ["EEXIST"] })),
    step(`make the device ${path}`, call.mknod(path, kind, mode, major, minor)),
  ];
}

function mountInDev(path: string, type: string, how: ReturnType<typeof flags>, data?: string): Program {
  return [
    step(`make ${path}`, call.mkdir(path, 0o755)),
    step(`mount ${type} on ${path}`, call.mount(type, path, type, how, data)),
  ];
}

const STRICT = flags("MS", "NOSUID", "NOEXEC", "NODEV");
const TERMINALS = `newinstance,ptmxmode=0666,mode=0620,gid=${TERMINAL_GROUP}`;

const ALWAYS: Program = [
  ...mountOnTop("tmpfs", "/dev", flags("MS", "NOSUID", "STRICTATIME"), "mode=755,size=65536k"),
  ...mountInDev("/dev/pts", "devpts", flags("MS", "NOSUID", "NOEXEC"), TERMINALS),
  ...mountInDev("/dev/mqueue", "mqueue", STRICT),
  ...STANDARD.flatMap(makeDevice),
  ...LINKS.map(([target, path]) => step(`link ${path}`, call.symlink(target, path))),
];

/** Builds /dev. */
export function makeDevices(spec: ContainerSpec): Program {
  return [
    ...ALWAYS,
    ...mountInDev("/dev/shm", "tmpfs", STRICT, `mode=1777,size=${spec.shmSize}`),
    ...spec.devices.flatMap(makeDevice),
  ];
}

/** Makes the container's own terminal and hands its other side to the caller. */
export function makeTerminal(spec: ContainerSpec, wiring: Wiring): Program {
  if (!usesTerminal(wiring)) return [];
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
