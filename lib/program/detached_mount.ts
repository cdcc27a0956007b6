/**
 * Detached mount of a stopped container's files: made in a mount namespace that ends at once, so that only a detached
 * tree remains, which goes with its descriptor.
 *
 * @module
 */

import * as call from "../../ffi/program/calls.ts";
import { flags } from "../../ffi/program/flags.ts";
import { callerStep, type Program, register, step } from "../../ffi/program/model.ts";
import type { BindMount } from "./spec.ts";
import { dieWithCaller, openCallerPidfd } from "./clone.ts";
import { mountOverlay, openSource, openTarget, pivot, source, target } from "./rootfs.ts";

/** The files to mount. */
export interface View {
  /** The directory to mount it on, the container's own: `upper` and `work` are in it. */
  readonly folder: string;
  /** The directories of the image, absolute, uppermost first. */
  readonly lower: readonly string[];
  /** The image alone, or the container. */
  readonly shows: "image" | "container";
  /** The writable part: everything, the content of volumes, or nothing. */
  readonly writable: "all" | "volumes" | "nothing";
  /** Whether writes need not reach the disk. Default: they must. */
  readonly volatile?: boolean;
  /** Volumes to show. Those whose target is not there and cannot be made are left out. */
  readonly volumes: readonly BindMount[];
}

/** Register names that are read after a run. */
export const VIEW = { pidfd: "pidfd", tree: "view" } as const;

// A running container has something else on them.
const COVERED = /^\/(dev|sys)\//;

function attach(mount: BindMount): Program {
  const tree = register(source(mount));
  const absent = ["ENOENT", "ENOTDIR", "ELOOP", "EROFS"] as const, on = target(mount);
  const find = step(`find ${mount.target}`, call.open(mount.target, flags("O", "PATH")), { save: on, ignore: absent });
  return [
    COVERED.test(mount.target) ? find : openTarget(mount, absent),
    ...(mount.readOnly
      ? [step(`restrict ${mount.target}`, call.setTreeAttributes(tree, flags("MOUNT_ATTR", "RDONLY")))]
      : []),
    step(`mount ${mount.source} on ${mount.target}`, call.attachOn(tree, register(on)), {
      when: on,
      ignore: ["ENOENT", "ENOTDIR"],
    }),
  ];
}

/** Returns the program that leaves a descriptor of the tree's top in the register `VIEW.tree`. Pure. */
export function compileView({ folder, lower, shows, writable, volumes, volatile = false }: View): Program {
  const made = register("tree"), restricted = flags("MS", "NOSUID", "NODEV", "NOEXEC");
  const rootOnly = flags("MS", "REMOUNT", "BIND", "RDONLY", "NOSUID", "NODEV", "NOEXEC");
  const attributes = flags(
    "MOUNT_ATTR",
    "NODEV",
    "NOSUID",
    "NOEXEC",
    ...(writable === "nothing" ? ["RDONLY"] as const : []),
  );
  return [
    ...openCallerPidfd(),
    callerStep("start a process in its own mount namespace", call.clone3(flags("CLONE", "PIDFD", "NEWNS"), VIEW.pidfd)),
    ...dieWithCaller(),
    step("make every mount private", call.mount(null, "/", null, flags("MS", "REC", "PRIVATE"))),
    ...volumes.map(openSource),
    ...mountOverlay({ folder, lower, volatile }, restricted, shows === "container"),
    ...pivot(folder),
    step("clear the umask", call.umask(0)),
    ...volumes.flatMap(attach),
    ...(writable === "volumes" ? [step("make the root read-only", call.mount(null, "/", null, rootOnly))] : []),
    step("clone the mount tree, detached", call.openTree("/"), { save: "tree" }),
    step("restrict the mount tree", call.setTreeAttributes(made, attributes)),
    callerStep("fetch the mount tree", call.pidfdGetfd(register(VIEW.pidfd), made), { save: VIEW.tree }),
    step("exit, which ends the namespace", call.exit),
  ];
}
