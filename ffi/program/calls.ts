/**
 * System calls as data: functions with the names and arguments of the man pages that return steps of programs. The
 * structures behind pointers are laid out here, in file_calls.ts and in device_calls.ts.
 *
 * @module
 */

import { type ErrnoName, errnoNumber } from "../errno.ts";
import { constant, type Flags, flags, mode, UAPI } from "./flags.ts";
import { type Argument, type Call, call, counted, type Descriptor, little, type Register } from "./model.ts";

export type { Descriptor };
export * from "./device_calls.ts";
export * from "./file_calls.ts";

const CLONE_ARGS_SIZE = 88;

// Processes

/** Starts the container's process in the open v2 group `cgroup`; its pidfd goes to the register `pidfd`: clone3(2). */
export function clone3(how: Flags, pidfd: string, cgroup?: Register): Call {
  const words: Argument[] = [how, { cell: pidfd }, 0, 0, UAPI.SIGCHLD, 0, 0, 0, 0, 0, cgroup ?? 0];
  const text = `{flags=${how.text}|CLONE_VM, pidfd=&${pidfd}, exit_signal=SIGCHLD${
    cgroup ? `, cgroup=${cgroup.register}` : ""
  }}`;
  return call("clone3", { words, text }, CLONE_ARGS_SIZE);
}

/** Executes a program: execve(2). */
export function execve(path: string, argv: readonly string[], env: readonly string[]): Call {
  return call("execve", path, argv, env);
}

/** Executes an open file: execveat(2). */
export function execveFd(fd: Descriptor, argv: readonly string[], env: readonly string[]): Call {
  return call("execveat", fd, "", argv, env, flags("AT", "EMPTY_PATH"));
}

/** Exits with 0: exit_group(2). */
export const exit: Call = call("exit_group", 0);

/** Starts a session: setsid(2). */
export const setsid: Call = call("setsid");

/** Returns the pid: getpid(2). */
export const getpid: Call = call("getpid");

/** Opens a pidfd: pidfd_open(2). */
export function pidfdOpen(pid: Register): Call {
  return call("pidfd_open", pid, 0);
}

/** Duplicates the descriptor `fd` of the process behind `pidfd`: pidfd_getfd(2). */
export function pidfdGetfd(pidfd: Register, fd: Register): Call {
  return call("pidfd_getfd", pidfd, fd, 0);
}

/** Polls one descriptor for input without waiting; the result is 1 if it is ready, else 0: ppoll(2). */
export function pollNow(fd: Descriptor): Call {
  const POLLIN = 1n << 32n;
  const noTime = { bytes: new Uint8Array(16), text: "{0, 0}" };
  const [word, text] = typeof fd === "number" ? [POLLIN + BigInt(fd), fd] : [{ ...fd, plus: POLLIN }, fd.register];
  return call("ppoll", { words: [word], text: `{${text}, POLLIN}` }, 1, noTime, null, 0);
}

/** Enters new namespaces: unshare(2). */
export function unshare(how: Flags): Call {
  return call("unshare", how);
}

/** The kinds of namespaces. */
export type NamespaceKind = "NEWNS" | "NEWPID" | "NEWUTS" | "NEWIPC" | "NEWNET" | "NEWCGROUP";

/** Enters a namespace, or those kinds of the process behind a pidfd: setns(2). */
export function setns(fd: Descriptor, ...kinds: NamespaceKind[]): Call {
  return call("setns", fd, flags("CLONE", ...kinds));
}

/** Continues in a new child of this process's parent, whose pid is written to the pipe `report`: `CLONE_PARENT` of clone(2). */
export function goOnInSibling(report: number): Call {
  return { call: "go_on_in_child", args: [flags("CLONE", "PARENT"), report] };
}

/** Continues in a child; this process waits for it and exits with its status: clone(2), wait4(2). */
export const goOnInChild: Call = { call: "go_on_in_child", args: [0, -1] };

/** Denies ptrace(2) and /proc access to this process without CAP_SYS_PTRACE: PR_SET_DUMPABLE(2const). */
export const notDumpable: Call = call("prctl", constant("PR_SET_DUMPABLE"), 0);

/** Resets every signal to its default disposition: rt_sigaction(2) for each. */
export const defaultSignals: Call = { call: "default_signals", args: [] };

/** Unblocks all signals: rt_sigprocmask(2). */
export const unblockSignals: Call = call(
  "rt_sigprocmask",
  constant("SIG_SETMASK"),
  { bytes: new Uint8Array(8), text: "[]" },
  null,
  8,
);

/** Sets the file mode creation mask: umask(2). */
export function umask(mask: number): Call {
  return call("umask", mode(mask));
}

/** Fails with `error` unless the first 64-bit word of `memory`, masked, equals `wanted`. */
export function expect(memory: Argument, mask: bigint, wanted: bigint, error: ErrnoName): Call {
  return { call: "expect", args: [memory, mask, wanted, { value: errnoNumber(error), text: error }] };
}

// Identity and privileges

/** Sets the host name: sethostname(2). */
export function sethostname(name: string): Call {
  return call("sethostname", ...counted(name));
}

/** Makes the kernel kill this process when its parent dies: PR_SET_PDEATHSIG(2const). */
export const dieWithParent: Call = call("prctl", constant("PR_SET_PDEATHSIG"), constant("SIGKILL"));

/** Keeps execve(2) from granting privileges: PR_SET_NO_NEW_PRIVS(2const). */
export const noNewPrivileges: Call = call("prctl", constant("PR_SET_NO_NEW_PRIVS"), 1, 0, 0, 0);

/** Keeps the permitted capabilities when the user changes: PR_SET_KEEPCAPS(2const). */
export const keepCapabilities: Call = call("prctl", constant("PR_SET_KEEPCAPS"), 1);

/** Drops each capability of `mask` from the bounding set: PR_CAPBSET_DROP(2const). */
export function dropBounding(mask: bigint, text: string): Call {
  // Exact as a number: capability masks are below 2^53.
  return { call: "drop_bounding", args: [{ value: Number(mask), text }] };
}

/** Adds a capability to the ambient set: PR_CAP_AMBIENT(2const). */
export function raiseAmbient(capability: Flags): Call {
  return call("prctl", constant("PR_CAP_AMBIENT"), constant("PR_CAP_AMBIENT_RAISE"), capability, 0, 0);
}

/** Sets the permitted and effective capabilities to `permitted`, the inheritable to `inheritable`: capset(2). */
export function capset(permitted: bigint, inheritable: bigint, text: string): Call {
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
    { bytes: little(8, [[0, UAPI._LINUX_CAPABILITY_VERSION_3]]), text: "{_LINUX_CAPABILITY_VERSION_3, 0}" },
    { bytes: data, text },
  );
}

/** Sets the supplementary groups: setgroups(2). */
export function setgroups(groups: readonly number[]): Call {
  const bytes = little(Math.max(4, groups.length * 4), groups.map((gid, i) => [i * 4, gid]));
  return call("setgroups", groups.length, { bytes, text: `[${groups.join(", ")}]` });
}

/** Sets the real, effective and saved group id: setresgid(2). */
export function setresgid(gid: number): Call {
  return call("setresgid", gid, gid, gid);
}

/** Sets the real, effective and saved user id: setresuid(2). */
export function setresuid(uid: number): Call {
  return call("setresuid", uid, uid, uid);
}

/** Joins a new anonymous session keyring: KEYCTL_JOIN_SESSION_KEYRING(2const). */
export const joinSessionKeyring: Call = call("keyctl", constant("KEYCTL_JOIN_SESSION_KEYRING"), null);

/** Sets a resource limit of this process, 64-bit values with 2^64-1 for no limit: prlimit(2). */
export function setrlimit(resource: Flags, soft: bigint, hard: bigint): Call {
  return call("prlimit64", 0, resource, { words: [soft, hard], text: `{${soft}, ${hard}}` }, null);
}
