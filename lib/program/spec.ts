/**
 * ContainerSpec: a container with every choice made, the input of {@linkcode compile}. Plain data.
 *
 * @module
 */

import type { Capability } from "../host/capabilities.ts";
import type { CgroupPlan } from "../cgroup/plan.ts";

/** The container's root: an overlay clone of an image. */
export interface Rootfs {
  /** The container's own directory, absolute; `upper` and `work` are made in it. */
  readonly folder: string;
  /** The directories of the image, absolute, uppermost first. */
  readonly lower: readonly string[];
  /** The permission bits of the image's root. */
  readonly mode: number;
  /** The owner of the image's root. */
  readonly uid: number;
  /** The group of the image's root. */
  readonly gid: number;
  /** Whether the root is mounted read-only. */
  readonly readOnly: boolean;
  /** Whether the container's writes are discarded at its end, so that they need not reach the disk. */
  readonly volatile: boolean;
}

/** A file or directory of the host that the container sees. */
export interface BindMount {
  /** Tells the kinds of mounts apart. */
  readonly kind: "bind";
  /** Absolute path on the host. */
  readonly source: string;
  /** Absolute path in the container. */
  readonly target: string;
  /** Whether the source is a directory. */
  readonly directory: boolean;
  /** Whether the container may only read. */
  readonly readOnly: boolean;
  /** Whether device nodes in it work, where the container may use the device. Default: they do not. */
  readonly devices?: boolean;
}

/** A file system in memory. */
export interface TmpfsMount {
  /** Tells the kinds of mounts apart. */
  readonly kind: "tmpfs";
  /** Absolute path in the container. */
  readonly target: string;
  /** Options as mount(8) writes them for tmpfs, such as `size=64m,mode=1777`. */
  readonly data: string;
  /** Whether programs on it can be executed. */
  readonly executable: boolean;
}

/** Something mounted into the container because the user asked for it. */
export type UserMount = BindMount | TmpfsMount;

/** A device node of the container. */
export interface Device {
  /** Absolute path in the container, below `/dev`. */
  readonly path: string;
  /** Character or block device. */
  readonly kind: "c" | "b";
  /** The device's major number. */
  readonly major: number;
  /** The device's minor number. */
  readonly minor: number;
  /** Permission bits. */
  readonly mode: number;
  /** The permitted access: some of `r`, `w` and `m`. */
  readonly access: string;
}

/** A resource limit (`getrlimit(2)`); -1 is no limit. */
export interface Rlimit {
  /** The resource, such as `nofile`. */
  readonly resource: string;
  /** The limit in force. */
  readonly soft: number;
  /** How far the process may raise it. */
  readonly hard: number;
}

/** User and groups of a process. */
export interface Identity {
  /** User id. */
  readonly uid: number;
  /** Group id. */
  readonly gid: number;
  /** Supplementary group ids. */
  readonly groups: readonly number[];
}

/** A file of the kernel's that the container's first process writes to. */
export interface KernelSetting {
  /** Absolute path in the container, below `/proc`. */
  readonly path: string;
  /** The value. */
  readonly value: string;
}

/** The container's command. */
export interface ProcessSpec {
  /** The command and its arguments; at least one. */
  readonly args: readonly string[];
  /** The environment as `NAME=VALUE`. */
  readonly env: readonly string[];
  /** Absolute working directory in the container. */
  readonly cwd: string;
  /** User and groups. */
  readonly identity: Identity;
  /** Capabilities of the bounding set, and for root of all others but the ambient one. */
  readonly capabilities: readonly Capability[];
  /** Capabilities that a non-root user keeps, since they were requested by name. */
  readonly ambient: readonly Capability[];
  /** Whether set-user-id programs and file capabilities gain nothing. */
  readonly noNewPrivileges: boolean;
  /** Resource limits to set. */
  readonly rlimits: readonly Rlimit[];
  /** Whether Sauropod's init is PID 1 and the command its child. */
  readonly init: boolean;
}

/** A cgroup hierarchy that the container sees below /sys/fs/cgroup. */
export interface CgroupMount {
  /** The name of its directory. Empty: it is /sys/fs/cgroup itself (v2). */
  readonly name: string;
  /** The file system type. */
  readonly type: "cgroup" | "cgroup2";
  /** Mount options, such as `cpu,cpuacct`. */
  readonly data: string;
}

/** An address of the container's on one of its networks. */
export interface InterfaceAddress {
  /** The address, 4 or 16 bytes. */
  readonly address: Uint8Array;
  /** The length of its network's prefix in bits. */
  readonly prefix: number;
  /** The way out, if the container shall take this one. */
  readonly gateway?: Uint8Array;
}

/** An interface of the container, the other end of a port of a bridge. */
export interface InterfaceSpec {
  /** Its name in the container, such as `eth0`. */
  readonly name: string;
  /** Its index in the container. */
  readonly index: number;
  /** Its hardware address, 6 bytes. */
  readonly mac: Uint8Array;
  /** Its largest packet, in bytes. */
  readonly mtu: number;
  /** The name of the other end, on the host. */
  readonly host: string;
  /** The index of the other end. */
  readonly hostIndex: number;
  /** The index of the bridge on the host; 0 if it has not been made yet. */
  readonly bridge: number;
  /** The name of the bridge. */
  readonly bridgeName: string;
  /** Its addresses. */
  readonly addresses: readonly InterfaceAddress[];
  /** Bytes a second that it may send at most. Default: no limit. */
  readonly rate?: number;
}

/** The network namespace of a container: the host's, that of another container, or its own. */
export type NetworkSpec =
  | { readonly mode: "host" }
  | { readonly mode: "join"; readonly namespace: string }
  | { readonly mode: "own"; readonly interfaces: readonly InterfaceSpec[] };

/** A small file that replaces the image's. */
export interface FileSpec {
  /** Absolute path. */
  readonly path: string;
  /** Its content. */
  readonly text: string;
  /** The file of the host's that it is, absolute. Default: one in memory, which goes with the container's mounts. */
  readonly source?: string;
}

/** A container. */
export interface ContainerSpec {
  /** Twelve hexadecimal digits. */
  readonly id: string;
  /** The container's host name. */
  readonly hostname: string;
  /** Its root. */
  readonly rootfs: Rootfs;
  /**
   * Directories of /sys that this machine has and that are hidden with the usual ones, unless the container is
   * privileged.
   */
  readonly masked: readonly string[];
  /** The user's mounts, in order. */
  readonly mounts: readonly UserMount[];
  /** Devices beside the standard ones. */
  readonly devices: readonly Device[];
  /** Its network. */
  readonly network: NetworkSpec;
  /** Files of its own, such as `/etc/hosts`. */
  readonly files: readonly FileSpec[];
  /** Size of /dev/shm in bytes. */
  readonly shmSize: number;
  /** Its control groups. */
  readonly cgroups: CgroupPlan;
  /** The hierarchies that it sees. */
  readonly cgroupMounts: readonly CgroupMount[];
  /** Settings of its namespaces and its first process. */
  readonly settings: readonly KernelSetting[];
  /** Whether /proc and /sys are neither masked nor read-only. */
  readonly privileged: boolean;
  /** Its command. */
  readonly process: ProcessSpec;
}
