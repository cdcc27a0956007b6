/**
 * Steps that mount the kernel's own file systems and hide what a container must not see or change.
 *
 * @module
 */

import * as call from "../../ffi/calls.ts";
import { flags } from "../../ffi/flags.ts";
import { type Program, register, step } from "../../ffi/program.ts";
import type { CgroupMount, ContainerSpec } from "../spec.ts";
import { mountOnTop } from "./devices.ts";

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

const STRICT = ["NOSUID", "NODEV", "NOEXEC"] as const;

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

// A removed folder stays empty for ever, which spares a file system for each folder that is hidden.
const RESTRICTIONS: Program = [
  ...MASKED_FILES.map((path) =>
    step(`hide ${path}`, call.mount("/dev/null", path, null, flags("MS", "BIND")), { ignore: ["ENOENT"] })
  ),
  step("make an empty folder to hide others with", call.mkdir(EMPTY, 0o555)),
  ...MASKED_FOLDERS.map((path) =>
    step(`hide ${path}`, call.mount(EMPTY, path, null, flags("MS", "BIND")), { ignore: ["ENOENT"] })
  ),
  step("remove the empty folder, so that it stays empty", call.rmdir(EMPTY)),
  ...READ_ONLY.flatMap(readOnlyPath),
];

const PING = "/proc/sys/net/ipv4/ping_group_range";

const PING_WITHOUT_PRIVILEGES: Program = [
  step("let every group ping", call.open(PING, flags("O", "WRONLY")), { save: "ping", ignore: ["ENOENT"] }),
  step("let every group ping", call.write(register("ping"), "0 2147483647"), { when: "ping" }),
];

const PROC: Program = mountOnTop("proc", "/proc", flags("MS", ...STRICT));

/** Mounts /proc, /sys and the control groups, and masks them unless the container is privileged. */
export function mountKernelFiles(spec: ContainerSpec): Program {
  const access = spec.privileged ? [] : ["RDONLY"] as const;
  return [
    ...PROC,
    ...mountOnTop("sysfs", "/sys", flags("MS", ...STRICT, ...access)),
    ...(spec.cgroupMounts.length ? cgroups(spec.cgroupMounts, access) : []),
    ...(spec.network === "host" ? [] : PING_WITHOUT_PRIVILEGES),
    ...(spec.privileged ? [] : RESTRICTIONS),
  ];
}
