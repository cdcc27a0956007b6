/**
 * Steps that start the container's process: control groups, the clone, and what must hold before anything else.
 *
 * @module
 */

import * as call from "../../ffi/calls.ts";
import { flags } from "../../ffi/flags.ts";
import { callerStep, type Program, register, step } from "../../ffi/program.ts";
import type { GroupPlan, GroupWrite } from "../cgroup/plan.ts";
import type { ContainerSpec } from "../spec.ts";
import { joinNetwork, openNetwork } from "./network.ts";
import { REGISTERS } from "./wiring.ts";

function writeFile({ file, value, optional }: GroupWrite): Program {
  const label = `set ${file.slice(file.lastIndexOf("/") + 1)} to ${value}`;
  const opened = `file:${file}`;
  return [
    callerStep(label, call.open(file, flags("O", "WRONLY")), { save: opened, ignore: optional ? ["ENOENT"] : [] }),
    callerStep(label, call.write(register(opened), value), { when: opened }),
  ];
}

function makeGroup(group: GroupPlan): Program {
  return [
    ...group.enable.flatMap(writeFile),
    callerStep(`make the ${group.hierarchy} control group`, call.mkdir(group.path, 0o755), { ignore: ["EEXIST"] }),
    ...group.writes.flatMap(writeFile),
  ];
}

function joinGroup(group: GroupPlan): Program {
  const label = `join the ${group.hierarchy} control group`;
  return [
    step(label, call.open(`${group.path}/cgroup.procs`, flags("O", "WRONLY")), { save: "group" }),
    step(label, call.write(register("group"), "0")),
  ];
}

/** The folders of the overlay, if the container is new. */
export function makeFoldersOf(spec: ContainerSpec): Program {
  return ["upper", "work"].map((name) =>
    callerStep(`make the container's ${name} folder`, call.mkdir(`${spec.rootfs.folder}/${name}`, 0o755), {
      ignore: ["EEXIST"],
    })
  );
}

/** Makes the control groups, clones into new namespaces, and ties the container's life to the caller's. */
export function birth(spec: ContainerSpec): Program {
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
      callerStep("open the control group", call.open(target.path, flags("O", "PATH", "DIRECTORY")), { save: "cgroup" }),
    ]
    : [];
  return [
    ...groups.flatMap(makeGroup),
    ...open,
    ...openNetwork(spec),
    ...holdCaller(),
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
export function holdCaller(): Program {
  return [
    callerStep("find out who we are", call.getpid, { save: "caller-pid" }),
    callerStep("hold on to ourselves", call.pidfdOpen(register("caller-pid")), { save: "caller" }),
  ];
}

/** Kills the process when the owner behind the pidfd dies, which must be its parent, also if it has died already. */
export function dieWith(owner: call.Descriptor): Program {
  return [
    step("die when the caller dies", call.dieWithParent),
    step("look whether the caller still lives", call.pollNow(owner), { save: "orphaned" }),
    step("go on only if it does", call.expect({ cell: "orphaned" }, -1n, 0n, "ESRCH")),
  ];
}

/** Kills the process when the caller dies, also while it waits for its turn. */
export function dieWithCaller(): Program {
  return dieWith(register("caller"));
}
