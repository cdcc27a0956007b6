/**
 * Constants of the kernel's interfaces (`include/uapi`) under the names of their man pages, and flag bits with their text.
 *
 * @module
 */

import { ARCHITECTURE } from "../native.ts";

/** The `AT_` constants of openat(2) and its relatives. */
export const AT = {
  FDCWD: -100,
  SYMLINK_NOFOLLOW: 0x100,
  REMOVEDIR: 0x200,
  EMPTY_PATH: 0x1000,
  RECURSIVE: 0x8000,
} as const;

/** The type bits of a file's mode (inode(7)). */
export const S_IF = {
  MT: 0o170000,
  SOCK: 0o140000,
  LNK: 0o120000,
  REG: 0o100000,
  BLK: 0o060000,
  DIR: 0o040000,
  CHR: 0o020000,
  IFO: 0o010000,
} as const;

const SIGNALS = { SIGINT: 2, SIGKILL: 9, SIGUSR1: 10, SIGTERM: 15, SIGCHLD: 17, SIG_SETMASK: 2 } as const;
const TTY_IOCTLS = { TCGETS: 0x5401, TIOCSCTTY: 0x540e, TIOCGWINSZ: 0x5413, TIOCSWINSZ: 0x5414 } as const;
const PTY_IOCTLS = { TIOCGPTPEER: 0x5441, TIOCSPTLCK: 0x40045431 } as const;
const FILE_IOCTLS = { FIONREAD: 0x541b, FICLONE: 0x40049409, NS_GET_PARENT: 0xb702 } as const;
const PRCTL = { PR_SET_PDEATHSIG: 1, PR_SET_DUMPABLE: 4, PR_SET_KEEPCAPS: 8, PR_SET_NO_NEW_PRIVS: 38 } as const;
const AMBIENT = { PR_CAP_AMBIENT: 47, PR_CAP_AMBIENT_RAISE: 2, _LINUX_CAPABILITY_VERSION_3: 0x20080522 } as const;
const FCNTL = { F_SETFD: 2, F_SETFL: 4, F_OFD_GETLK: 36, F_OFD_SETLK: 37, CLOSE_RANGE_CLOEXEC: 4 } as const;
const BPF_COMMANDS = { BPF_PROG_LOAD: 5, BPF_PROG_ATTACH: 8 } as const;
const BPF_TYPES = { BPF_PROG_TYPE_CGROUP_DEVICE: 15, BPF_CGROUP_DEVICE: 6, BPF_F_ALLOW_MULTI: 2 } as const;
const SOCKET = { AF_INET: 2, AF_INET6: 10, AF_NETLINK: 16, SOL_SOCKET: 1, SOL_NETLINK: 270 } as const;
const SOCKET_TYPES = { SOCK_STREAM: 1, SOCK_DGRAM: 2, SOCK_RAW: 3, SOCK_CLOEXEC: 0x80000 } as const;
const NETLINK = { NETLINK_ROUTE: 0, NETLINK_NETFILTER: 12 } as const;
const NETLINK_OPTIONS = { NETLINK_CAP_ACK: 10, NETLINK_EXT_ACK: 11, NETLINK_GET_STRICT_CHK: 12 } as const;
const OTHERS = { MSG_DONTWAIT: 0x40, MSG_NOSIGNAL: 0x4000, KEYCTL_JOIN_SESSION_KEYRING: 1 } as const;

/** Single constants: signal(7), ioctl(2), prctl(2), capget(2), fcntl(2), bpf(2), socket(2), netlink(7), send(2), keyctl(2). */
export const UAPI = {
  ...{ ...SIGNALS, ...TTY_IOCTLS, ...PTY_IOCTLS, ...FILE_IOCTLS, ...PRCTL, ...AMBIENT, ...FCNTL },
  ...{ ...BPF_COMMANDS, ...BPF_TYPES, ...SOCKET, ...SOCKET_TYPES, ...NETLINK, ...NETLINK_OPTIONS, ...OTHERS },
} as const;

const SETS = {
  AT,
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

/** A value of the kernel's interfaces and its text in the man pages' terms. */
export interface Flags {
  /** The number. */
  readonly value: number;
  /** The names, such as `MS_NOSUID|MS_NODEV`. */
  readonly text: string;
}

/** Combines flag bits of one set: `flags("MS", "NOSUID", "NODEV")`. */
export function flags<S extends keyof Sets>(set: S, ...names: (keyof Sets[S] & string)[]): Flags {
  const bits: Readonly<Record<string, number>> = SETS[set];
  // Addition, not |: some bits are above 2^32.
  const value = names.reduce((sum, name) => sum + (bits[name] ?? 0), 0);
  return { value, text: names.map((name) => `${set}_${name}`).join("|") || "0" };
}

/** Returns a constant with its name: `constant("SIGKILL")`. */
export function constant(name: keyof typeof UAPI): Flags {
  return { value: UAPI[name], text: name };
}

/** Combines values of several sets; the text names all. */
export function allOf(...parts: readonly Flags[]): Flags {
  return { value: parts.reduce((sum, { value }) => sum + value, 0), text: parts.map(({ text }) => text).join("|") };
}

/** Returns permission bits, written in octal. */
export function mode(value: number): Flags {
  return { value, text: `0${value.toString(8)}` };
}

function resource(value: number, name: string): Flags {
  return { value, text: `RLIMIT_${name}` };
}

/** The resources of getrlimit(2), under the names of docker's `--ulimit`. */
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
