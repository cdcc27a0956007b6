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

function restrict(): Program {
  const hide = flags("MS", "RDONLY", ...STRICT);
  return [
    ...MASKED_FILES.map((path) =>
      step(`hide ${path}`, call.mount("/dev/null", path, null, flags("MS", "BIND")), { ignore: ["ENOENT"] })
    ),
    ...MASKED_FOLDERS.map((path) =>
      step(`hide ${path}`, call.mount("tmpfs", path, "tmpfs", hide, "size=0"), { ignore: ["ENOENT"] })
    ),
    ...READ_ONLY.flatMap(readOnlyPath),
  ];
}

function pingWithoutPrivileges(spec: ContainerSpec): Program {
  if (spec.network === "host") return [];
  const label = "let every group ping";
  const path = "/proc/sys/net/ipv4/ping_group_range";
  return [
    step(label, call.open(path, flags("O", "WRONLY")), { save: "ping", ignore: ["ENOENT"] }),
    step(label, call.write(register("ping"), "0 2147483647"), { when: "ping" }),
  ];
}

/** Mounts /proc, /sys and the control groups, and masks them unless the container is privileged. */
export function mountKernelFiles(spec: ContainerSpec): Program {
  const access = spec.privileged ? [] : ["RDONLY"] as const;
  return [
    ...mountOnTop("proc", "/proc", flags("MS", ...STRICT)),
    ...mountOnTop("sysfs", "/sys", flags("MS", ...STRICT, ...access)),
    ...(spec.cgroupMounts.length ? cgroups(spec.cgroupMounts, access) : []),
    ...pingWithoutPrivileges(spec),
    ...(spec.privileged ? [] : restrict()),
  ];
}
