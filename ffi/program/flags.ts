/**
 * Named bits and numbers of the kernel's interfaces, as a man page names them.
 *
 * @module
 */

import { ARCHITECTURE } from "../native.ts";

const SETS = {
  CLONE: {
    PIDFD: 0x1000,
    PARENT: 0x8000,
    NEWNS: 0x20000,
    NEWCGROUP: 0x2000000,
    NEWUTS: 0x4000000,
    NEWIPC: 0x8000000,
    NEWUSER: 0x10000000,
    NEWPID: 0x20000000,
    NEWNET: 0x40000000,
    INTO_CGROUP: 0x200000000,
  },
  MS: {
    RDONLY: 1,
    NOSUID: 2,
    NODEV: 4,
    NOEXEC: 8,
    REMOUNT: 0x20,
    BIND: 0x1000,
    REC: 0x4000,
    PRIVATE: 0x40000,
    SLAVE: 0x80000,
    RELATIME: 0x200000,
    STRICTATIME: 0x1000000,
  },
  MNT: { DETACH: 2 },
  UMOUNT: { NOFOLLOW: 8 },
  MOUNT_ATTR: { RDONLY: 1, NOSUID: 2, NODEV: 4, NOEXEC: 8 },
  OPEN_TREE: { CLONE: 1, CLOEXEC: 0x80000 },
  FSOPEN: { CLOEXEC: 1 },
  FSCONFIG: { SET_FLAG: 0, SET_STRING: 1, CMD_CREATE: 6 },
  FSMOUNT: { CLOEXEC: 1 },
  MOVE_MOUNT: { F_EMPTY_PATH: 4, T_SYMLINKS: 0x10, T_EMPTY_PATH: 0x40 },
  AT: { SYMLINK_NOFOLLOW: 0x100, REMOVEDIR: 0x200, EMPTY_PATH: 0x1000, RECURSIVE: 0x8000 },
  O: {
    RDONLY: 0,
    WRONLY: 1,
    RDWR: 2,
    CREAT: 0x40,
    APPEND: 0x400,
    EXCL: 0x80,
    NOCTTY: 0x100,
    TRUNC: 0x200,
    NONBLOCK: 0x800,
    DIRECTORY: [0x10000, 0x4000][ARCHITECTURE] ?? 0,
    NOFOLLOW: [0x20000, 0x8000][ARCHITECTURE] ?? 0,
    CLOEXEC: 0x80000,
    PATH: 0x200000,
  },
  RESOLVE: { NO_XDEV: 1, NO_MAGICLINKS: 2, NO_SYMLINKS: 4, BENEATH: 8, IN_ROOT: 0x10 },
} as const;

type Sets = typeof SETS;

/** A number of flag bits and how a person writes them. */
export interface Flags {
  /** The bits. */
  readonly value: number;
  /** The bits by name, such as `MS_NOSUID|MS_NODEV`. */
  readonly text: string;
}

/** The bits that `names` have in `set`: `flags("MS", "NOSUID", "NODEV")`. */
export function flags<S extends keyof Sets>(set: S, ...names: (keyof Sets[S] & string)[]): Flags {
  const bits: Readonly<Record<string, number>> = SETS[set];
  // Addition, not |: some bits are above 2^32.
  const value = names.reduce((sum, name) => sum + (bits[name] ?? 0), 0);
  return { value, text: names.map((name) => `${set}_${name}`).join("|") || "0" };
}

function resource(value: number, name: string): Flags {
  return { value, text: `RLIMIT_${name}` };
}

/** The resources of getrlimit(2) by the name that `ulimit` options give them. */
export const RLIMITS = {
  cpu: resource(0, "CPU"),
  fsize: resource(1, "FSIZE"),
  data: resource(2, "DATA"),
  stack: resource(3, "STACK"),
  core: resource(4, "CORE"),
  rss: resource(5, "RSS"),
  nproc: resource(6, "NPROC"),
  nofile: resource(7, "NOFILE"),
  memlock: resource(8, "MEMLOCK"),
  as: resource(9, "AS"),
  locks: resource(10, "LOCKS"),
  sigpending: resource(11, "SIGPENDING"),
  msgqueue: resource(12, "MSGQUEUE"),
  nice: resource(13, "NICE"),
  rtprio: resource(14, "RTPRIO"),
  rttime: resource(15, "RTTIME"),
} as const;
