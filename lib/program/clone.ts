/**
 * Clone steps: control groups, clone3, and the parent-death check of the container's process.
 *
 * @module
 */

import * as call from "../../ffi/program/calls.ts";
import { flags } from "../../ffi/program/flags.ts";
import { callerStep, type Program, register, type Step, step, type StepOptions } from "../../ffi/program/model.ts";
import type { GroupPlan, GroupWrite } from "../cgroup/plan.ts";
import type { ContainerSpec } from "./spec.ts";
import { joinNetwork, openNetwork } from "./network_steps.ts";
import { REGISTERS } from "./launch_fds.ts";

const WRITE = flags("O", "WRONLY");
const FOUND: StepOptions = { ignore: ["EEXIST"] };
// The group above has processes, or cannot hand a controller down.
const UNIMPORTANT = ["EBUSY", "ENOENT", "EOPNOTSUPP", "EINVAL"] as const;

/** Writes to files, each of which is opened once for all that follow each other. */
function writeFiles(writes: readonly GroupWrite[]): Step[] {
  const steps: Step[] = [];
  let last = "";
  for (const { file, value, optional } of writes) {
    const name = file.slice(file.lastIndexOf("/") + 1), opened = `file:${file}`;
    if (file !== last) {
      const options: StepOptions = { save: opened, ...(optional ? { ignore: ["ENOENT"] } : {}) };
      steps.push(callerStep(`open ${name}`, call.open(file, WRITE), options));
    }
    last = file;
    const options: StepOptions = { when: opened, ...(optional ? { ignore: UNIMPORTANT } : {}) };
    steps.push(callerStep(`set ${name} to ${value}`, call.write(register(opened), value), options));
  }
  return steps;
}

function makeGroup({ hierarchy, path, enable, writes, inner }: GroupPlan): Program {
  const make = (folder: string): Step =>
    callerStep(`make the ${hierarchy} control group`, call.mkdir(folder, 0o755), FOUND);
  const steps = [...writeFiles(enable), make(path), ...writeFiles(writes)];
  if (inner) steps.push(...writeFiles(inner.enable), make(inner.path), ...writeFiles(inner.writes));
  return steps;
}

/** Lets the kernel ask a program whether processes in a v2 group may use a device. */
function filterDevices({ path, deviceFilter }: GroupPlan): Program {
  if (!deviceFilter) return [];
  const group = register("limited-group"), filter = register("device-filter");
  return [
    callerStep("open the control group", call.open(path, flags("O", "RDONLY", "DIRECTORY")), { save: group.register }),
    callerStep("load the device filter", call.loadDeviceFilter(deviceFilter.instructions), {
      save: filter.register,
      // Kernels without BPF for control groups. No device node works in the container anyway.
      ignore: deviceFilter.required ? [] : ["EINVAL", "ENOSYS", "EPERM"],
    }),
    callerStep("attach the device filter to the control group", call.attachDeviceFilter(group, filter), {
      when: filter.register,
    }),
  ];
}

/** Returns the group that the container is in. */
function groupOf({ path, inner }: GroupPlan): string {
  return inner?.path ?? path;
}

function joinGroup(group: GroupPlan): Program {
  const label = `join the ${group.hierarchy} control group`;
  const opened = `group:${group.hierarchy}`;
  return [
    // cgroup.procs moves a process with all threads, for which every fork on the machine waits (12 ms); this has but
    // one.
    step(label, call.open(`${groupOf(group)}/tasks`, WRITE), { save: opened }),
    step(label, call.write(register(opened), "0")),
  ];
}

/** Returns the directories of the overlay, if the container is new. */
export function makeFoldersOf(spec: ContainerSpec): Program {
  return ["upper", "work"].map((name) =>
    callerStep(`make the container's ${name} directory`, call.mkdir(`${spec.rootfs.folder}/${name}`, 0o755), {
      ignore: ["EEXIST"],
    })
  );
}

/** Makes the control groups, clones into new namespaces, and ties the container's life to the caller's. */
export function cloneContainer(spec: ContainerSpec): Program {
  const { groups } = spec.cgroups;
  const target = groups.find((group) => group.join === "clone");
  const how = flags(
    "CLONE",
    "PIDFD",
    "NEWNS",
    "NEWPID",
    "NEWUTS",
    "NEWIPC",
    ...(spec.network.mode === "own" ? ["NEWNET"] as const : []),
    ...(target ? ["INTO_CGROUP"] as const : []),
  );
  const open: Program = target
    ? [
      callerStep("open the control group", call.open(groupOf(target), flags("O", "PATH", "DIRECTORY")), {
        save: "cgroup",
      }),
    ]
    : [];
  return [
    ...groups.flatMap(makeGroup),
    ...groups.flatMap(filterDevices),
    ...open,
    ...openNetwork(spec),
    ...openCallerPidfd(),
    callerStep(
      "start the container's process in its own namespaces",
      call.clone3(how, REGISTERS.pidfd, target && register("cgroup")),
      { save: REGISTERS.pid },
    ),
    step("reset all signals", call.defaultSignals),
    step("lead a new session", call.setsid),
    ...dieWithCaller(),
    ...groups.filter((group) => group.join === "write").flatMap(joinGroup),
    ...joinNetwork(spec),
    step("enter a cgroup namespace of its own", call.unshare(flags("CLONE", "NEWCGROUP"))),
  ];
}

/** Opens the caller for {@linkcode dieWithCaller}; before the clone. */
export function openCallerPidfd(): Program {
  return [
    callerStep("get the caller's PID", call.getpid, { save: "caller-pid" }),
    callerStep("open a pidfd of the caller", call.pidfdOpen(register("caller-pid")), { save: "caller" }),
  ];
}

/** Kills the process when the owner behind the pidfd dies, which must be its parent, also if it has died already. */
export function dieWith(owner: call.Descriptor): Program {
  return [
    step("die when the caller dies", call.dieWithParent),
    step("check whether the caller is alive", call.pollNow(owner), { save: "orphaned" }),
    step("require that it is alive", call.expect({ cell: "orphaned" }, -1n, 0n, "ESRCH")),
  ];
}

/** Kills the process when the caller dies, also while it waits for its turn. */
export function dieWithCaller(): Program {
  return dieWith(register("caller"));
}
