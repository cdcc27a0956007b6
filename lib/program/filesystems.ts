/**
 * Steps that set up /dev, /proc and /sys as the OCI runtime specification for Linux lists them, and mask paths.
 *
 * @module
 */

import * as call from "../../ffi/program/calls.ts";
import { flags } from "../../ffi/program/flags.ts";
import { type Program, register, type Step, step } from "../../ffi/program/model.ts";
import { mountOnTop } from "./mount_point.ts";
import { prepareNetwork } from "./network_steps.ts";
import type { CgroupMount, ContainerSpec, Device, KernelSetting } from "./spec.ts";

const STRICT = ["NOSUID", "NODEV", "NOEXEC"] as const;
const TERMINAL_GROUP = 5;

function character(name: string, major: number, minor: number): Device {
  return { path: `/dev/${name}`, kind: "c", major, minor, mode: 0o666, access: "rwm" };
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

const TERMINALS = `newinstance,ptmxmode=0666,mode=0620,gid=${TERMINAL_GROUP}`;

const ALWAYS: Program = [
  ...mountOnTop("tmpfs", "/dev", flags("MS", "NOSUID", "STRICTATIME"), "mode=755,size=65536k"),
  ...mountInDev("/dev/pts", "devpts", flags("MS", "NOSUID", "NOEXEC"), TERMINALS),
  ...mountInDev("/dev/mqueue", "mqueue", flags("MS", ...STRICT)),
  ...STANDARD.flatMap(makeDevice),
  ...LINKS.map(([target, path]) => step(`link ${path}`, call.symlink(target, path))),
];

/** Builds /dev. */
export function makeDevices(spec: ContainerSpec): Program {
  return [
    ...ALWAYS,
    ...mountInDev("/dev/shm", "tmpfs", flags("MS", ...STRICT), `mode=1777,size=${spec.shmSize}`),
    ...spec.devices.flatMap(makeDevice),
  ];
}

const MASKED_FILES = [
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/timer_list",
  "/proc/timer_stats",
];
const MASKED_FOLDERS = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/scsi",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];
const READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

function cgroups(mounts: readonly CgroupMount[], access: readonly "RDONLY"[]): Program {
  const how = flags("MS", ...STRICT, "RELATIME", ...access);
  const top = "/sys/fs/cgroup";
  const [only] = mounts;
  if (only && only.name === "") {
    return [step(`mount ${only.type} on ${top}`, call.mount("cgroup", top, only.type, how))];
  }
  const each = mounts.flatMap(({ name, type, data }): Program => [
    step(`make ${top}/${name}`, call.mkdir(`${top}/${name}`, 0o755)),
    step(`mount ${type} on ${top}/${name}`, call.mount("cgroup", `${top}/${name}`, type, how, data)),
  ]);
  return [
    step(`mount tmpfs on ${top}`, call.mount("tmpfs", top, "tmpfs", flags("MS", ...STRICT), "mode=755")),
    ...each,
    step(
      `make ${top} read-only`,
      call.mount(null, top, null, flags("MS", "REMOUNT", "BIND", "RDONLY", ...STRICT)),
    ),
  ];
}

function readOnlyPath(path: string): Program {
  const label = `make ${path} read-only`;
  const how = flags("MS", "REMOUNT", "BIND", "RDONLY", ...STRICT);
  return [
    step(label, call.mount(path, path, null, flags("MS", "BIND", "REC")), { save: path, ignore: ["ENOENT"] }),
    step(label, call.mount(null, path, null, how), { when: path }),
  ];
}

const EMPTY = "/dev/.empty";

function hideFolder(path: string): Step {
  return step(`mask ${path}`, call.mount(EMPTY, path, null, flags("MS", "BIND")), { ignore: ["ENOENT"] });
}

// A removed directory stays empty for ever, which spares a file system for each directory that is hidden.
const HIDDEN: Program = [
  ...MASKED_FILES.map((path) =>
    step(`mask ${path}`, call.mount("/dev/null", path, null, flags("MS", "BIND")), { ignore: ["ENOENT"] })
  ),
  step("create an empty directory to mask others with", call.mkdir(EMPTY, 0o555)),
  ...MASKED_FOLDERS.map(hideFolder),
];
const READABLE: Program = [
  step("remove the empty directory, so that it stays empty", call.rmdir(EMPTY)),
  ...READ_ONLY.flatMap(readOnlyPath),
];

const PROC: Program = mountOnTop("proc", "/proc", flags("MS", ...STRICT));

function set({ path, value }: KernelSetting): Program {
  const file = `file:${path}`, label = `set ${path} to ${value}`;
  return [
    step(label, call.open(path, flags("O", "WRONLY")), { save: file }),
    step(label, call.write(register(file), value)),
  ];
}

/** Mounts /proc, /sys and the control groups, and masks them unless the container is privileged. */
export function mountKernelFiles(spec: ContainerSpec): Program {
  const access = spec.privileged ? [] : ["RDONLY"] as const;
  return [
    ...PROC,
    ...mountOnTop("sysfs", "/sys", flags("MS", ...STRICT, ...access)),
    ...(spec.cgroupMounts.length ? cgroups(spec.cgroupMounts, access) : []),
    ...prepareNetwork(spec),
    ...spec.settings.flatMap(set),
    ...(spec.privileged ? [] : [...HIDDEN, ...spec.masked.map(hideFolder), ...READABLE]),
  ];
}
