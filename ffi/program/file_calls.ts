/**
 * System calls on files, descriptors and mounts as data.
 *
 * @module
 */

import { AT_FDCWD, makedev } from "../fs/fs.ts";
import { allOf, constant, type Flags, flags, mode, S_IF } from "./flags.ts";
import { type Bytes, type Call, call, counted, type Descriptor } from "./model.ts";

const cwd: Flags = { value: AT_FDCWD, text: "AT_FDCWD" }, ALL_BITS: Flags = { value: 0xffffffff, text: "~0" };

function fileMode(type: keyof typeof S_IF, permissions: number): Flags {
  return allOf({ value: S_IF[type], text: `S_IF${type}` }, mode(permissions));
}

/** Opens a path, close-on-exec: openat(2). */
export function open(path: string, how: Flags, permissions = 0): Call {
  return call("openat", cwd, path, allOf(how, flags("O", "CLOEXEC")), ...(permissions ? [mode(permissions)] : []));
}

/** Closes a descriptor: close(2). */
export function close(fd: Descriptor): Call {
  return call("close", fd);
}

/** Closes the descriptors from `first` to `last`, by default all from there on: close_range(2). */
export function closeRange(first: number, last?: number): Call {
  return call("close_range", first, last ?? ALL_BITS, 0);
}

/** Sets close-on-exec on all descriptors from `first` on: close_range(2). */
export function closeOnExecFrom(first: number): Call {
  return call("close_range", first, ALL_BITS, constant("CLOSE_RANGE_CLOEXEC"));
}

/** Clears close-on-exec of `fd`: `F_SETFD` of fcntl(2). */
export function stayOpen(fd: number): Call {
  return call("fcntl", fd, constant("F_SETFD"), 0);
}

/** Duplicates `fd` as `to`: dup3(2). */
export function dup(fd: Descriptor, to: number): Call {
  return call("dup3", fd, to, 0);
}

/** Writes a text: write(2). */
export function write(fd: Descriptor, text: string): Call {
  return call("write", fd, ...counted(text));
}

/** Creates a directory: mkdirat(2). */
export function mkdir(path: string, permissions: number): Call {
  return call("mkdirat", cwd, path, mode(permissions));
}

/** Removes an empty directory: unlinkat(2). */
export function rmdir(path: string): Call {
  return call("unlinkat", cwd, path, flags("AT", "REMOVEDIR"));
}

/** Removes a file or link: unlinkat(2). */
export function unlink(path: string): Call {
  return call("unlinkat", cwd, path, 0);
}

/** Removes a directory recursively; a missing one is ignored: getdents64(2), unlinkat(2). */
export function removeTree(path: string): Call {
  return { call: "remove_tree", args: [cwd, path] };
}

/** Removes a control group and those below it, once their last processes have exited: cgroups(7). */
export function removeGroup(path: string): Call {
  return { call: "remove_group", args: [path] };
}

/** Reads the target of a symbolic link into `memory`: readlinkat(2). */
export function readlink(path: string, memory: Bytes): Call {
  return call("readlinkat", cwd, path, memory, memory.bytes.length);
}

/**
 * Opens a mount point with `O_PATH`, and creates it where it is missing: openat(2), readlinkat(2), mkdirat(2), mknodat(2).
 * Follows symbolic links by their text, dangling ones and magic links of proc(5) included.
 */
export function openTarget(path: string, kind: "directory" | "file"): Call {
  const type = kind === "directory" ? fileMode("DIR", 0o755) : fileMode("REG", 0o644);
  return { call: "open_target", args: [path, type] };
}

/** Creates a symbolic link: symlinkat(2). */
export function symlink(target: string, path: string): Call {
  return call("symlinkat", target, cwd, path);
}

/** Creates an empty regular file: mknodat(2). */
export function createFile(path: string, permissions: number): Call {
  return call("mknodat", cwd, path, fileMode("REG", permissions), 0);
}

/** Creates a device node: mknodat(2). */
export function mknod(path: string, kind: "c" | "b", permissions: number, major: number, minor: number): Call {
  const device = { value: makedev(major, minor), text: `makedev(${major}, ${minor})` };
  return call("mknodat", cwd, path, fileMode(kind === "c" ? "CHR" : "BLK", permissions), device);
}

/** Sets the owner of an open file: fchown(2). */
export function fchown(fd: Descriptor, uid: number): Call {
  return call("fchown", fd, uid, -1);
}

/** Sets the permission bits of an open file: fchmod(2). */
export function fchmod(fd: Descriptor, permissions: number): Call {
  return call("fchmod", fd, mode(permissions));
}

/** Sets the permission bits of a path: fchmodat(2). */
export function chmod(path: string, permissions: number): Call {
  return call("fchmodat", cwd, path, mode(permissions));
}

/** Sets owner and group of a path: fchownat(2). */
export function chown(path: string, uid: number, gid: number): Call {
  return call("fchownat", cwd, path, uid, gid, 0);
}

/** Changes the working directory: chdir(2). */
export function chdir(path: string): Call {
  return call("chdir", path);
}

/** Changes the working directory to an open one: fchdir(2). */
export function fchdir(fd: Descriptor): Call {
  return call("fchdir", fd);
}

/** Reads the path of the working directory into `memory`: getcwd(2). */
export function getcwd(memory: Bytes): Call {
  return call("getcwd", memory, memory.bytes.length);
}

// Mounts

/** Mounts a file system, or changes a mount: mount(2). */
export function mount(source: string | null, target: string, type: string | null, how: Flags, data?: string): Call {
  return call("mount", source, target, type, how, data ?? null);
}

/** Clones the mount at `path` with its submounts, detached: open_tree(2). */
export function openTree(path: string): Call {
  return call("open_tree", cwd, path, allOf(flags("OPEN_TREE", "CLONE", "CLOEXEC"), flags("AT", "RECURSIVE")));
}

/** Attaches a detached mount at `path`, following symbolic links: move_mount(2). */
export function attach(tree: Descriptor, path: string): Call {
  return call("move_mount", tree, "", cwd, path, flags("MOVE_MOUNT", "F_EMPTY_PATH", "T_SYMLINKS"));
}

/** Attaches a detached mount on the open `target`: move_mount(2). */
export function attachOn(tree: Descriptor, target: Descriptor): Call {
  return call("move_mount", tree, "", target, "", flags("MOVE_MOUNT", "F_EMPTY_PATH", "T_EMPTY_PATH"));
}

/** Opens a configuration context for a file system type: fsopen(2). */
export function fsopen(type: string): Call {
  return call("fsopen", type, flags("FSOPEN", "CLOEXEC"));
}

/** Sets a parameter of a configuration context: a string, or a flag if it is null: fsconfig(2). */
export function fsconfig(filesystem: Descriptor, key: string, value: string | null): Call {
  return call("fsconfig", filesystem, flags("FSCONFIG", value === null ? "SET_FLAG" : "SET_STRING"), key, value, 0);
}

/** Creates the file system of a configuration context: `FSCONFIG_CMD_CREATE` of fsconfig(2). */
export function fsconfigCreate(filesystem: Descriptor): Call {
  return call("fsconfig", filesystem, flags("FSCONFIG", "CMD_CREATE"), null, null, 0);
}

/** Creates a detached mount of a created file system: fsmount(2). */
export function fsmount(filesystem: Descriptor, attributes: Flags): Call {
  return call("fsmount", filesystem, flags("FSMOUNT", "CLOEXEC"), attributes);
}

/** Adds attributes to all mounts of a tree: mount_setattr(2). */
export function setTreeAttributes(tree: Descriptor, set: Flags): Call {
  const how = flags("AT", "EMPTY_PATH", "RECURSIVE");
  return call("mount_setattr", tree, "", how, { words: [set, 0, 0, 0], text: `{attr_set=${set.text}}` }, 32);
}

/** Unmounts a file system: umount2(2). */
export function umount(path: string, how: Flags): Call {
  return call("umount2", path, how);
}

/** Changes the root mount: pivot_root(2). */
export function pivotRoot(newRoot: string, putOld: string): Call {
  return call("pivot_root", newRoot, putOld);
}
