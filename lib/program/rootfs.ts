/**
 * Rootfs steps: overlay, pivot_root, and the user's mounts.
 *
 * Pivot first, then resolve: sources are opened before the pivot, and targets are resolved after it, when a symbolic
 * link in the image leads only into the image.
 *
 * @module
 */

import * as call from "../../ffi/program/calls.ts";
import type { ErrnoName } from "../../ffi/errno.ts";
import { type Flags, flags } from "../../ffi/program/flags.ts";
import { type Program, register, type Step, step } from "../../ffi/program/model.ts";
import { mountManyLayers } from "./mount_point.ts";
import { openFiles } from "./network_steps.ts";
import type { BindMount, ContainerSpec, Rootfs, TmpfsMount, UserMount } from "./spec.ts";

/** Returns the register of a user mount's target. */
export function target({ target }: UserMount): string {
  return `target:${target}`;
}

/**
 * Returns the step that opens a user mount's target and creates it if missing. It is resolved only once: the mount is
 * attached to the open file, wherever its path leads meanwhile. Errors to ignore: `ignore`.
 */
export function openTarget(mount: UserMount, ignore?: readonly ErrnoName[]): Step {
  const kind = mount.kind === "tmpfs" || mount.directory ? "directory" : "file";
  return step(`make ${mount.target}`, call.openTarget(mount.target, kind), { save: target(mount), ignore });
}

// Both overlay's option parser and its list of lower directories read a backslash as an escape.
function escaped(path: string): string {
  return path.replace(/[\\:,]/g, "\\$&");
}

function isBind(mount: UserMount): mount is BindMount {
  return mount.kind === "bind";
}

/**
 * Returns the flags of the root mount. Device nodes in an image work only for containers that may create device nodes
 * anyway. Without privilege gain, nosuid avoids the reset of the parent-death signal by execve.
 */
function restrictions(spec: ContainerSpec): ("NODEV" | "NOSUID")[] {
  const { capabilities, noNewPrivileges } = spec.process;
  return [
    ...(capabilities.includes("MKNOD") ? [] : ["NODEV"] as const),
    ...(noNewPrivileges ? ["NOSUID"] as const : []),
  ];
}

/** How long the options of mount(2) may be, in bytes, which takes a page of them with a NUL. */
const MOST_DATA = 4095;

/** Returns the directory that all of `paths` are in. */
function commonFolder(paths: readonly string[]): string {
  const [first = [], ...others] = paths.map((path) => path.split("/"));
  const same = first.findIndex((part, i) => others.some((parts) => parts[i] !== part));
  return first.slice(0, same < 0 ? first.length - 1 : same).join("/") || "/";
}

/**
 * Mounts this machine's root by itself. The kernel refuses lower directories of which one lies in another, as all lie
 * in the machine's root; on an overlay of its own that is not the same file system any more.
 */
function mountBase(folder: string, how: Flags): Program {
  const base = `${folder}/base`;
  // An overlay without an upper directory wants two lower ones; the other is empty.
  const data = `lowerdir=/:${escaped(base)}/empty`;
  return [
    step(`make ${base}`, call.mkdir(base, 0o700), { ignore: ["EEXIST"] }),
    step(`mount tmpfs on ${base}`, call.mount("tmpfs", base, "tmpfs", flags("MS", "NOSUID", "NODEV"), "size=4k")),
    ...["empty", "merged"].map((name) => step(`make ${base}/${name}`, call.mkdir(`${base}/${name}`, 0o755))),
    step("mount this machine's root separately", call.mount("overlay", `${base}/merged`, "overlay", how, data)),
  ];
}

/**
 * Mounts the overlay on the container's directory; with `upper`, the container's on the image. mount(2) takes one page
 * of options: names of layers are written as seen from the directory that they are in, and more are named one by one.
 */
export function mountOverlay(
  { folder, lower: asked, volatile }: Pick<Rootfs, "folder" | "lower" | "volatile">,
  how: Flags,
  upper = true,
): Program {
  const based = asked.length > 1 && asked.includes("/");
  const lower = based ? asked.map((path) => path === "/" ? `${folder}/base/merged` : path) : asked;
  const parent = lower.length > 1 ? commonFolder(lower) : undefined;
  const names = parent === undefined ? lower : lower.map((path) => path.slice(parent.length).replace(/^\/+/, ""));
  const own = parent === undefined ? "" : `${escaped(folder)}/`;
  const changes = upper ? `,upperdir=${own}upper,workdir=${own}work` : "";
  // Without volatile the end of a container waits until the whole file system below it is synchronized.
  const data = `lowerdir=${names.map(escaped).join(":")}${changes}${volatile ? ",volatile" : ""}`;
  const long = new TextEncoder().encode(data).length > MOST_DATA;
  return [
    ...(based ? mountBase(folder, flags("MS", "RDONLY")) : []),
    parent === undefined
      ? step("change to the container's directory", call.chdir(folder))
      : step("change to the directory of the image's layers", call.chdir(parent)),
    ...long
      ? mountManyLayers(folder, names, how, { upper, volatile })
      : [step("mount overlay on /", call.mount("overlay", folder, "overlay", how, data))],
  ];
}

/** Returns the steps that pivot into the mount on `folder` and detach the old root. */
export function pivot(folder: string): Program {
  return [
    step("change to the new root", call.chdir(folder)),
    step("pivot into the new root", call.pivotRoot(".", ".")),
    // As long as the old root lies on the new one, ".." at the top leads to it: a link of the image could too.
    step("detach the old root", call.umount(".", flags("MNT", "DETACH"))),
    step("change to the root", call.chdir("/")),
  ];
}

/** Returns the register that keeps the tree of a volume. */
export function source(mount: BindMount): string {
  return `source:${mount.target}`;
}

/** Opens the host's side of a volume; before the pivot. */
export function openSource(mount: BindMount): Step {
  return step(`open ${mount.source} for ${mount.target}`, call.openTree(mount.source), { save: source(mount) });
}

/** Makes the overlay the root of the container and lets go of the host's. */
export function enterRootfs(spec: ContainerSpec): Program {
  const { folder, mode, uid, gid } = spec.rootfs;
  return [
    step("make every mount private", call.mount(null, "/", null, flags("MS", "REC", "PRIVATE"))),
    ...spec.mounts.filter(isBind).map(openSource),
    ...openFiles(spec),
    ...mountOverlay(spec.rootfs, flags("MS", ...restrictions(spec))),
    ...pivot(folder),
    step("clear the umask", call.umask(0)),
    step("set the root's mode from the image", call.chmod("/", mode)),
    ...(uid || gid ? [step("set the root's owner from the image", call.chown("/", uid, gid))] : []),
  ];
}

function bind(mount: BindMount, spec: ContainerSpec): Program {
  const tree = register(source(mount));
  const label = `mount ${mount.source} on ${mount.target}`;
  const attributes = [
    ...(mount.readOnly ? ["RDONLY"] as const : []),
    ...(spec.process.noNewPrivileges ? ["NOSUID"] as const : []),
    ...(mount.devices ? [] : ["NODEV"] as const),
  ];
  const restrict = step(`restrict ${mount.target}`, call.setTreeAttributes(tree, flags("MOUNT_ATTR", ...attributes)));
  // Nothing can be mounted on a file without a name.
  const uncover = step(
    `unmount the container's own file at ${mount.target}`,
    call.umount(mount.target, flags("UMOUNT", "NOFOLLOW")),
    {
      ignore: ["EINVAL", "EBUSY", "ENOENT", "ENOTDIR"],
    },
  );
  return [
    ...(mount.directory ? [] : [uncover]),
    openTarget(mount),
    ...(attributes.length ? [restrict] : []),
    step(label, call.attachOn(tree, register(target(mount)))),
  ];
}

function tmpfs(mount: TmpfsMount): Program {
  const how = flags("MS", "NOSUID", "NODEV", ...(mount.executable ? [] : ["NOEXEC"] as const));
  return [
    openTarget(mount),
    step(`change to ${mount.target}`, call.fchdir(register(target(mount)))),
    step(`mount tmpfs on ${mount.target}`, call.mount("tmpfs", ".", "tmpfs", how, mount.data)),
    step("change to the root", call.chdir("/")),
  ];
}

/** Returns the user's mounts whose targets satisfy `where`. */
export function userMounts(spec: ContainerSpec, where: (target: string) => boolean): Program {
  return spec.mounts.filter((mount) => where(mount.target)).flatMap((mount) =>
    isBind(mount) ? bind(mount, spec) : tmpfs(mount)
  );
}

/** Makes the working directory where it is missing. */
export function makeDirectory({ process: { cwd } }: ContainerSpec): Program {
  if (cwd === "/") return [];
  return [step(`make ${cwd}`, call.openTarget(cwd, "directory"), { ignore: ["EROFS"] })];
}

/** Makes the root read-only if it is to be. */
export function finishRootfs(spec: ContainerSpec): Program {
  if (!spec.rootfs.readOnly) return [];
  const how = flags("MS", "REMOUNT", "BIND", "RDONLY", ...restrictions(spec));
  return [step("make the root read-only", call.mount(null, "/", null, how))];
}
