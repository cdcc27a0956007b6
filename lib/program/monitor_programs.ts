/**
 * Programs of a detached container's monitor: restart and cleanup.
 *
 * @module
 */

import * as call from "../../ffi/program/calls.ts";
import { flags } from "../../ffi/program/flags.ts";
import { callerStep, type Program, register } from "../../ffi/program/model.ts";
import { type GroupPlan, INNER } from "../cgroup/plan.ts";
import type { ContainerSpec } from "./spec.ts";

const BUSY = ["ENOENT", "EBUSY", "ENOTEMPTY", "EROFS"] as const;

/**
 * Returns the steps that start a process with its pidfd in the register `pidfd`; in the v2 group at `home` if given: a
 * container's own, or one that outlives the caller's session or service.
 */
export function spawnOutsideSession(label: string, pidfd: string, home: string | undefined): Program {
  if (home === undefined) return [callerStep(label, call.clone3(flags("CLONE", "PIDFD"), pidfd))];
  const open = call.open(home, flags("O", "PATH", "DIRECTORY"));
  return [
    callerStep("open the control group to start it in", open, { save: "home" }),
    callerStep(label, call.clone3(flags("CLONE", "PIDFD", "INTO_CGROUP"), pidfd, register("home"))),
  ];
}

/** Returns a group that has all it needs. */
function existing({ deviceFilter: _deviceFilter, inner, ...group }: GroupPlan): GroupPlan {
  const nothing = { enable: [], writes: [] };
  return { ...group, ...nothing, ...(inner && { inner: { ...inner, ...nothing } }) };
}

/**
 * Returns the specification of a restarted container: in the network namespace kept at `networkPlace`, and in its
 * existing control groups.
 */
export function restartSpec(spec: ContainerSpec, networkPlace: number): ContainerSpec {
  const { network, cgroups } = spec;
  const kept = network.mode === "own" && network.interfaces.length > 0;
  return {
    ...spec,
    network: kept ? { mode: "join", namespace: `/proc/self/fd/${networkPlace}` } : network,
    cgroups: { groups: cgroups.groups.map(existing) },
  };
}

/** Resources to remove at the end of a container. */
export interface Resources {
  /** The descriptors that hold its published ports. */
  readonly ports: readonly number[];
  /** Control groups that there may be; those below them are removed, too. */
  readonly groups: readonly string[];
  /** The container's directory, if it is not to be kept. */
  readonly folder?: string;
  /** The descriptor that holds the claim to it. */
  readonly claim: number;
  /** The ownership links. */
  readonly marks: readonly string[];
}

/**
 * Returns the program that removes groups without waiting. Its registers, named by the paths, tell which are still there:
 * those that hold an error other than ENOENT.
 */
export function removeAtOnce(groups: readonly string[]): Program {
  return groups.flatMap((path): Program => [
    callerStep(`remove the control group ${path}/${INNER}`, call.rmdir(`${path}/${INNER}`), { ignore: BUSY }),
    callerStep(`remove the control group ${path}`, call.rmdir(path), { ignore: BUSY, save: path }),
  ]);
}

/** Returns the program that removes a container's resources. */
export function cleanupProgram({ ports, groups, folder, claim, marks }: Resources): Program {
  const removeGroup = (path: string): Program => [
    callerStep(`remove the control group ${path}`, call.removeGroup(path), {
      ignore: ["ENOENT", "EBUSY", "EACCES", "EPERM"],
    }),
  ];
  const removeFolder = (path: string): Program => [
    callerStep("remove the container's record", call.unlink(`${path}/container.json`), {
      ignore: ["ENOENT", "EROFS"],
    }),
    callerStep("remove the container's files", call.removeTree(path), { ignore: ["EPERM", "EROFS", "EBUSY", "EIO"] }),
  ];
  return [
    // Before the ownership links, so that the next start finds the ports free.
    ...ports.map((fd) => callerStep("release published ports", call.close(fd))),
    ...groups.flatMap(removeGroup),
    ...(folder === undefined ? [] : removeFolder(folder)),
    callerStep("release the claim before the ownership links", call.close(claim)),
    ...marks.map((path) => callerStep("remove the ownership link", call.unlink(path), { ignore: ["ENOENT"] })),
  ];
}
