/**
 * The system calls that programs are made of, as functions that return data. Names and arguments are those of the
 * manual pages; the structures behind pointers are laid out here.
 *
 * @module
 */

import { type ErrnoName, errnoNumber } from "../errno.ts";
import { type Flags, flags } from "./flags.ts";
import { AT_FDCWD } from "../fs/fs.ts";
import { describeMessages, encodeMessages, type Message, NETLINK } from "../netlink/netlink.ts";
import type { Argument, Bytes, Call, Register } from "./model.ts";
import type { SyscallName } from "./syscalls.ts";

/** A descriptor: its number, or the register that holds it. */
export type Descriptor = number | Register;

const SIGCHLD = 17;
const CLONE_ARGS_SIZE = 88;
const cwd: Flags = { value: AT_FDCWD, text: "AT_FDCWD" };

function call(name: SyscallName, ...args: Argument[]): Call {
  return { call: name, args };
}

function named(value: number, text: string): Flags {
  return { value, text };
}

function mode(value: number): Flags {
  return { value, text: `0${value.toString(8)}` };
}

const encoder = new TextEncoder();

/** A text and its length in bytes. */
function counted(text: string): [string, number] {
  return [text, encoder.encode(text).length];
}

function little(size: number, values: readonly (readonly [offset: number, value: number])[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(size));
  for (const [offset, value] of values) view.setUint32(offset, value, true);
  return new Uint8Array(view.buffer);
}

// Processes

/** clone3(2): starts the container's process, whose pidfd goes to the register `pidfd`; `cgroup` is an open v2 group. */
export function clone3(how: Flags, pidfd: string, cgroup?: Register): Call {
  const words: Argument[] = [how, { cell: pidfd }, 0, 0, SIGCHLD, 0, 0, 0, 0, 0, cgroup ?? 0];
  const text = `{flags=${how.text}|CLONE_VM, pidfd=&${pidfd}, exit_signal=SIGCHLD${
    cgroup ? `, cgroup=${cgroup.register}` : ""
  }}`;
  return call("clone3", { words, text }, CLONE_ARGS_SIZE);
}

/** execve(2). */
export function execve(path: string, argv: readonly string[], env: readonly string[]): Call {
  return call("execve", path, argv, env);
}

/** execveat(2) of an open file. */
export function execveFd(fd: Descriptor, argv: readonly string[], env: readonly string[]): Call {
  return call("execveat", fd, "", argv, env, flags("AT", "EMPTY_PATH"));
}

/** exit_group(2) with 0. */
export const exit: Call = call("exit_group", 0);

/** setsid(2). */
export const setsid: Call = call("setsid");

/** getpid(2). */
export const getpid: Call = call("getpid");

/** pidfd_open(2). */
export function pidfdOpen(pid: Register): Call {
  return call("pidfd_open", pid, 0);
}

/** pidfd_getfd(2): a copy of the descriptor `fd` of the process behind `pidfd`. */
export function pidfdGetfd(pidfd: Register, fd: Register): Call {
  return call("pidfd_getfd", pidfd, fd, 0);
}

/** ppoll(2) of one descriptor for input, without waiting: the result is 1 if it is ready, else 0. */
export function pollNow(fd: Descriptor): Call {
  const POLLIN = 1n << 32n;
  const noTime = { bytes: new Uint8Array(16), text: "{0, 0}" };
  const [word, text] = typeof fd === "number" ? [POLLIN + BigInt(fd), fd] : [{ ...fd, plus: POLLIN }, fd.register];
  return call("ppoll", { words: [word], text: `{${text}, POLLIN}` }, 1, noTime, null, 0);
}

/** unshare(2). */
export function unshare(how: Flags): Call {
  return call("unshare", how);
}

/** The kinds of namespaces. */
export type NamespaceKind = "NEWNS" | "NEWPID" | "NEWUTS" | "NEWIPC" | "NEWNET" | "NEWCGROUP";

/** setns(2): enters a namespace of the kind named, or those of the process behind a pidfd. */
export function setns(fd: Descriptor, ...kinds: NamespaceKind[]): Call {
  return call("setns", fd, flags("CLONE", ...kinds));
}

/** Goes on in a child, whose parent becomes ours; the pipe `report` is told of it. */
export function goOnInSibling(report: number): Call {
  return { call: "go_on_in_child", args: [flags("CLONE", "PARENT"), report] };
}

/** Goes on in a child, for which we wait and end as it ends. */
export const goOnInChild: Call = { call: "go_on_in_child", args: [0, -1] };

/** prctl(2) with PR_SET_DUMPABLE: nobody without CAP_SYS_PTRACE can look into this process, or trace it. */
export const notDumpable: Call = call("prctl", named(4, "PR_SET_DUMPABLE"), 0);

/** Gives every signal its default disposition: rt_sigaction(2) for each. */
export const defaultSignals: Call = { call: "default_signals", args: [] };

/** rt_sigprocmask(2): no signal is blocked. */
export const unblockSignals: Call = call(
  "rt_sigprocmask",
  named(2, "SIG_SETMASK"),
  { bytes: new Uint8Array(8), text: "[]" },
  null,
  8,
);

/** umask(2). */
export function umask(mask: number): Call {
  return call("umask", mode(mask));
}

/** Fails with `error` unless the memory's first 64-bit word, masked, is `wanted`. */
export function expect(memory: Argument, mask: bigint, wanted: bigint, error: ErrnoName): Call {
  return { call: "expect", args: [memory, mask, wanted, named(errnoNumber(error), error)] };
}

// Files

/** openat(2) below the working directory, or of an absolute path. */
export function open(path: string, how: Flags, permissions = 0): Call {
  const closing = named(how.value + flags("O", "CLOEXEC").value, `${how.text}|O_CLOEXEC`);
  return call("openat", cwd, path, closing, ...(permissions ? [mode(permissions)] : []));
}

/** close(2). */
export function close(fd: Descriptor): Call {
  return call("close", fd);
}

/** close_range(2) from `first` to `last`, or of all from there on. */
export function closeRange(first: number, last?: number): Call {
  return call("close_range", first, last ?? named(0xffffffff, "~0"), 0);
}

/** close_range(2) from `first` on: all are closed when a program is executed. */
export function closeOnExecFrom(first: number): Call {
  return call("close_range", first, named(0xffffffff, "~0"), named(4, "CLOSE_RANGE_CLOEXEC"));
}

/** fcntl(2) F_SETFD: `fd` stays open when a program is executed. */
export function stayOpen(fd: number): Call {
  return call("fcntl", fd, named(2, "F_SETFD"), 0);
}

/** dup3(2). */
export function dup(fd: Descriptor, to: number): Call {
  return call("dup3", fd, to, 0);
}

/** write(2) of a text. */
export function write(fd: Descriptor, text: string): Call {
  return call("write", fd, ...counted(text));
}

/** mkdirat(2). */
export function mkdir(path: string, permissions: number): Call {
  return call("mkdirat", cwd, path, mode(permissions));
}

/** unlinkat(2) of an empty folder. */
export function rmdir(path: string): Call {
  return call("unlinkat", cwd, path, flags("AT", "REMOVEDIR"));
}

/** unlinkat(2) of anything but a folder. */
export function unlink(path: string): Call {
  return call("unlinkat", cwd, path, 0);
}

/** Removes a folder and all that is in it; a missing one is fine. */
export function removeTree(path: string): Call {
  return { call: "remove_tree", args: [cwd, path] };
}

/** Removes a control group and those below it, once their last processes have gone. */
export function removeGroup(path: string): Call {
  return { call: "remove_group", args: [path] };
}

/** readlinkat(2) into `memory`. */
export function readlink(path: string, memory: Bytes): Call {
  return call("readlinkat", cwd, path, memory, memory.bytes.length);
}

/**
 * Opens what `path` leads to, with O_PATH, and creates what is missing of it. Symbolic links are followed, also to what is
 * missing; those of /proc are not but by their text.
 */
export function openTarget(path: string, kind: "directory" | "file"): Call {
  const type = kind === "directory" ? named(0o040755, "S_IFDIR|0755") : named(0o100644, "S_IFREG|0644");
  return { call: "open_target", args: [path, type] };
}

/** symlinkat(2). */
export function symlink(target: string, path: string): Call {
  return call("symlinkat", target, cwd, path);
}

/** mknodat(2) of an empty regular file. */
export function createFile(path: string, permissions: number): Call {
  return call("mknodat", cwd, path, named(0o100000 | permissions, `S_IFREG|0${permissions.toString(8)}`), 0);
}

/** mknodat(2) of a device. */
export function mknod(path: string, kind: "c" | "b", permissions: number, major: number, minor: number): Call {
  const type = kind === "c" ? 0o020000 : 0o060000;
  const device = ((major & 0xfff) << 8) | (minor & 0xff) | ((minor & ~0xff) << 12);
  const text = `S_IF${kind === "c" ? "CHR" : "BLK"}|0${permissions.toString(8)}`;
  return call("mknodat", cwd, path, named(type | permissions, text), named(device, `makedev(${major}, ${minor})`));
}

/** fchown(2). */
export function fchown(fd: Descriptor, uid: number): Call {
  return call("fchown", fd, uid, -1);
}

/** fchmod(2). */
export function fchmod(fd: Descriptor, permissions: number): Call {
  return call("fchmod", fd, mode(permissions));
}

/** fchmodat(2). */
export function chmod(path: string, permissions: number): Call {
  return call("fchmodat", cwd, path, mode(permissions));
}

/** fchownat(2). */
export function chown(path: string, uid: number, gid: number): Call {
  return call("fchownat", cwd, path, uid, gid, 0);
}

/** chdir(2). */
export function chdir(path: string): Call {
  return call("chdir", path);
}

/** fchdir(2). */
export function fchdir(fd: Descriptor): Call {
  return call("fchdir", fd);
}

/** getcwd(2) into `memory`. */
export function getcwd(memory: Bytes): Call {
  return call("getcwd", memory, memory.bytes.length);
}

// Mounts

/** mount(2). */
export function mount(source: string | null, target: string, type: string | null, how: Flags, data?: string): Call {
  return call("mount", source, target, type, how, data ?? null);
}

/** open_tree(2): a detached copy of the mount at `path`, with those below it. */
export function openTree(path: string): Call {
  const how = named(
    flags("OPEN_TREE", "CLONE", "CLOEXEC").value + flags("AT", "RECURSIVE").value,
    "OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC|AT_RECURSIVE",
  );
  return call("open_tree", cwd, path, how);
}

/** move_mount(2): attaches what open_tree returned at `path`, or at what it links to. */
export function attach(tree: Descriptor, path: string): Call {
  return call("move_mount", tree, "", cwd, path, flags("MOVE_MOUNT", "F_EMPTY_PATH", "T_SYMLINKS"));
}

/** move_mount(2): attaches what open_tree returned on the open `target`. */
export function attachOn(tree: Descriptor, target: Descriptor): Call {
  return call("move_mount", tree, "", target, "", flags("MOVE_MOUNT", "F_EMPTY_PATH", "T_EMPTY_PATH"));
}

/** fsopen(2): begins a file system of a kind. */
export function fsopen(type: string): Call {
  return call("fsopen", type, flags("FSOPEN", "CLOEXEC"));
}

/** fsconfig(2): gives the file system one more parameter: a text, or without one a flag. */
export function fsconfig(filesystem: Descriptor, key: string, value: string | null): Call {
  return call("fsconfig", filesystem, flags("FSCONFIG", value === null ? "SET_FLAG" : "SET_STRING"), key, value, 0);
}

/** fsconfig(2): makes the file system of its parameters. */
export function fsconfigCreate(filesystem: Descriptor): Call {
  return call("fsconfig", filesystem, flags("FSCONFIG", "CMD_CREATE"), null, null, 0);
}

/** fsmount(2): a mount of the file system, attached nowhere. */
export function fsmount(filesystem: Descriptor, attributes: Flags): Call {
  return call("fsmount", filesystem, flags("FSMOUNT", "CLOEXEC"), attributes);
}

/** mount_setattr(2): adds attributes to a tree and all mounts in it. */
export function setTreeAttributes(tree: Descriptor, set: Flags): Call {
  const how = named(flags("AT", "EMPTY_PATH", "RECURSIVE").value, "AT_EMPTY_PATH|AT_RECURSIVE");
  return call("mount_setattr", tree, "", how, { words: [set, 0, 0, 0], text: `{attr_set=${set.text}}` }, 32);
}

/** umount2(2). */
export function umount(path: string, how: Flags): Call {
  return call("umount2", path, how);
}

/** pivot_root(2). */
export function pivotRoot(newRoot: string, putOld: string): Call {
  return call("pivot_root", newRoot, putOld);
}

// Identity and privileges

/** sethostname(2). */
export function sethostname(name: string): Call {
  return call("sethostname", ...counted(name));
}

/** prctl(2) with PR_SET_PDEATHSIG. */
export const dieWithParent: Call = call("prctl", named(1, "PR_SET_PDEATHSIG"), named(9, "SIGKILL"));

/** prctl(2) with PR_SET_NO_NEW_PRIVS. */
export const noNewPrivileges: Call = call("prctl", named(38, "PR_SET_NO_NEW_PRIVS"), 1, 0, 0, 0);

/** prctl(2) with PR_SET_KEEPCAPS. */
export const keepCapabilities: Call = call("prctl", named(8, "PR_SET_KEEPCAPS"), 1);

/** prctl(2) with PR_CAPBSET_DROP, for each capability in `mask`. */
export function dropBounding(mask: bigint, text: string): Call {
  // A flag's value is a number, and masks of capabilities are below 2^53.
  return { call: "drop_bounding", args: [named(Number(mask), text)] };
}

/** prctl(2) with PR_CAP_AMBIENT_RAISE. */
export function raiseAmbient(capability: Flags): Call {
  return call("prctl", named(47, "PR_CAP_AMBIENT"), named(2, "PR_CAP_AMBIENT_RAISE"), capability, 0, 0);
}

/** capset(2): permitted and effective become `permitted`, a mask of 64 bits; inheritable becomes `inheritable`. */
export function capset(permitted: bigint, inheritable: bigint, text: string): Call {
  const VERSION_3 = 0x20080522;
  const half = (mask: bigint, i: number): number => Number((mask >> BigInt(32 * i)) & 0xffffffffn);
  const data = little(
    24,
    [0, 1].flatMap((i): [number, number][] => [
      [i * 12, half(permitted, i)],
      [i * 12 + 4, half(permitted, i)],
      [i * 12 + 8, half(inheritable, i)],
    ]),
  );
  return call(
    "capset",
    { bytes: little(8, [[0, VERSION_3]]), text: "{_LINUX_CAPABILITY_VERSION_3, 0}" },
    { bytes: data, text },
  );
}

/** setgroups(2). */
export function setgroups(groups: readonly number[]): Call {
  const bytes = little(Math.max(4, groups.length * 4), groups.map((gid, i) => [i * 4, gid]));
  return call("setgroups", groups.length, { bytes, text: `[${groups.join(", ")}]` });
}

/** setresgid(2), all three. */
export function setresgid(gid: number): Call {
  return call("setresgid", gid, gid, gid);
}

/** setresuid(2), all three. */
export function setresuid(uid: number): Call {
  return call("setresuid", uid, uid, uid);
}

/** keyctl(2): a new session keyring without a name. */
export const joinSessionKeyring: Call = call("keyctl", named(1, "KEYCTL_JOIN_SESSION_KEYRING"), null);

/** prlimit(2) of the running process. `soft` and `hard` are 64-bit; 2^64-1 is no limit. */
export function setrlimit(resource: Flags, soft: bigint, hard: bigint): Call {
  return call("prlimit64", 0, resource, { words: [soft, hard], text: `{${soft}, ${hard}}` }, null);
}

// Devices

const PROG_LOAD = named(5, "BPF_PROG_LOAD"), PROG_ATTACH = named(8, "BPF_PROG_ATTACH");
const CGROUP_DEVICE_PROGRAM = 15n, CGROUP_DEVICE = 6n, ALLOW_MULTI = 2n;

/** bpf(2) BPF_PROG_LOAD of what `deviceFilter` returned: the result is a descriptor of it. */
export function loadDeviceFilter(instructions: Uint8Array): Call {
  const count = instructions.length / 8;
  const program = { bytes: instructions, text: `[${count} instructions]` };
  const type = CGROUP_DEVICE_PROGRAM + (BigInt(count) << 32n);
  const words: Argument[] = [type, program, "", 0, 0, 0, 0, 0, CGROUP_DEVICE << 32n];
  const text = `{prog_type=BPF_PROG_TYPE_CGROUP_DEVICE, insns=${program.text}}`;
  return call("bpf", PROG_LOAD, { words, text }, words.length * 8);
}

/** bpf(2) BPF_PROG_ATTACH of a loaded filter to an open v2 group, for as long as there is the group. */
export function attachDeviceFilter(group: Register, filter: Register): Call {
  const words: Argument[] = [{ ...group, high: filter.register }, CGROUP_DEVICE + (ALLOW_MULTI << 32n)];
  const text = `{target_fd=${group.register}, attach_bpf_fd=${filter.register}, ` +
    "attach_type=BPF_CGROUP_DEVICE, attach_flags=BPF_F_ALLOW_MULTI}";
  return call("bpf", PROG_ATTACH, { words, text }, words.length * 8);
}

// Network

/** socket(2) for {@linkcode netlink} requests to rtnetlink(7). */
export const routeSocket: Call = call(
  "socket",
  named(16, "AF_NETLINK"),
  named(0o2000003, "SOCK_RAW|SOCK_CLOEXEC"),
  named(NETLINK.ROUTE, "NETLINK_ROUTE"),
);

/** socket(2) for {@linkcode netlink} requests to nf_tables. */
export const filterSocket: Call = call(
  "socket",
  named(16, "AF_NETLINK"),
  named(0o2000003, "SOCK_RAW|SOCK_CLOEXEC"),
  named(NETLINK.NETFILTER, "NETLINK_NETFILTER"),
);

const NETLINK_OPTIONS = { NETLINK_CAP_ACK: 10, NETLINK_EXT_ACK: 11 } as const;

/** setsockopt(2): sets an option of a netlink(7) socket. */
export function setNetlinkOption(socket: Descriptor, option: keyof typeof NETLINK_OPTIONS): Call {
  const yes = { bytes: little(4, [[0, 1]]), text: "[1]" };
  return call("setsockopt", socket, named(270, "SOL_NETLINK"), named(NETLINK_OPTIONS[option], option), yes, 4);
}

// The same memory for all requests: only the answer to the one that failed matters.
const answer: Bytes = { bytes: new Uint8Array(512), text: "answer" };

/** Sends messages and waits until they are acknowledged: sendto(2) and recvfrom(2). */
export function netlink(socket: Descriptor, messages: readonly Message[]): Call {
  const bytes = encodeMessages(messages);
  const text = `{${describeMessages(messages)}}`;
  return { call: "netlink", args: [socket, { bytes, text }, bytes.length, answer, answer.bytes.length] };
}

// Terminals

/** ioctl(2) TIOCSPTLCK: unlocks the other side of a pseudo-terminal. */
export function unlockTerminal(master: Descriptor): Call {
  return call("ioctl", master, named(0x40045431, "TIOCSPTLCK"), { bytes: new Uint8Array(4), text: "[0]" });
}

/** ioctl(2) TIOCGPTPEER: opens the other side of a pseudo-terminal without looking up a path. */
export function openTerminalPeer(master: Descriptor): Call {
  return call("ioctl", master, named(0x5441, "TIOCGPTPEER"), flags("O", "RDWR", "NOCTTY", "CLOEXEC"));
}

/** ioctl(2) TIOCSWINSZ. */
export function setWindowSize(terminal: Descriptor, columns: number, rows: number): Call {
  const bytes = little(8, [[0, rows | (columns << 16)]]);
  return call("ioctl", terminal, named(0x5414, "TIOCSWINSZ"), { bytes, text: `{${rows} rows, ${columns} columns}` });
}

/** ioctl(2) TIOCSCTTY: `terminal` controls this session. */
export function controlTerminal(terminal: Descriptor): Call {
  return call("ioctl", terminal, named(0x540e, "TIOCSCTTY"), 0);
}
