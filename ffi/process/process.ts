/**
 * Processes behind pidfds (pidfd_open(2)), pipes (pipe(7)), terminals (pts(4), ioctl_tty(2)), capabilities and limits.
 *
 * @module
 */

import { forget, ready } from "./events.ts";
import { ERRNO } from "../errno.ts";
import { check, close } from "../fs/fs.ts";
import { shim } from "../native.ts";
import { flags, UAPI } from "../program/flags.ts";

/** The exit status of a process. */
export interface Ending {
  /** The exit code; 128 plus the signal number if a signal killed it. */
  code: number;
  /** The number of the signal that killed it. Default: none. */
  signal?: number;
}

/** Signal numbers (signal(7)). */
export const { SIGINT, SIGKILL, SIGUSR1, SIGTERM } = UAPI;

const P_PIDFD = 3, WEXITED = 4, WNOHANG = 1, WNOWAIT = 0x1000000, CLD_EXITED = 1;
// siginfo_t
const SIGINFO_SIZE = 128, SI_SIGNO = 0, SI_CODE = 8, SI_STATUS = 24;
const PIPE_FLAGS = flags("O", "CLOEXEC").value, PEER_FLAGS = flags("O", "RDWR", "NOCTTY", "CLOEXEC").value;

/**
 * Waits for the child process behind `pidfd`, reaps it and closes `pidfd`. Calls `gone` before that, since from then on
 * another process can have the number of the descriptor.
 */
export async function reap(pidfd: number, gone: () => void = () => {}): Promise<Ending> {
  if (!hasEnded(pidfd)) await ready(pidfd, "in");
  gone();
  return reapNow(pidfd);
}

/** Calls waitid(2) for a child process; returns its result and the `siginfo_t`. */
function waitid(pidfd: number, options: number): [result: number, info: DataView] {
  const info = new Uint8Array(SIGINFO_SIZE);
  return [shim.iib("waitid", P_PIDFD, pidfd, info, WEXITED | options), new DataView(info.buffer)];
}

/** Returns whether the child process behind `pidfd` has exited and can be reaped. */
function hasEnded(pidfd: number): boolean {
  return waitid(pidfd, WNOHANG | WNOWAIT)[1].getInt32(SI_SIGNO, true) !== 0;
}

/** Returns whether the process behind `pidfd` is a child of this one and not yet reaped. */
export function isChild(pidfd: number): boolean {
  return waitid(pidfd, WNOHANG | WNOWAIT)[0] >= 0;
}

/** Does the same as {@linkcode reap}, but blocks the thread: for a process that is about to exit. */
export function reapNow(pidfd: number): Ending {
  const [result, view] = waitid(pidfd, 0);
  forget(pidfd);
  close(pidfd);
  check(result, "waitid", `pidfd ${pidfd}`);
  const status = view.getInt32(SI_STATUS, true);
  return view.getInt32(SI_CODE, true) === CLD_EXITED ? { code: status } : { code: 128 + status, signal: status };
}

/** Sends a signal to the process behind `pidfd`; false if it has exited: pidfd_send_signal(2). */
export function sendSignal(pidfd: number, signal: number): boolean {
  const result = shim.i("pidfd_send_signal", pidfd, signal);
  return result !== -ERRNO.ESRCH && check(result, "pidfd_send_signal", `signal ${signal}`) === 0;
}

/**
 * Makes SIGUSR1 call `listener`. Deno itself would open an inspector on it, through which every user of the machine could
 * run code in this process.
 */
export function divertUserSignal(listener: () => void): void {
  // First: until there is a listener, the signal to which SIGUSR1 is diverted kills the process.
  Deno.addSignalListener("SIGSTKFLT", listener);
  // Deno installs its handler with the first listener: done now, it cannot replace the shim's later.
  Deno.addSignalListener("SIGUSR1", () => {});
  shim.divert(SIGUSR1);
}

/** Splits the text of a `/proc/PID/stat` into its fields, by their numbers in proc_pid_stat(5). */
export function statFields(text: string): string[] {
  // The name in parentheses may itself contain spaces and parentheses.
  const open = text.indexOf("("), close = text.lastIndexOf(")");
  return ["", text.slice(0, open - 1), text.slice(open + 1, close), ...text.slice(close + 2).split(" ")];
}

/** Opens a pidfd of the process `pid`: pidfd_open(2). Throws {@linkcode SystemError} `ESRCH` if it does not exist. */
export function openProcess(pid: number): number {
  return check(shim.i("pidfd_open", pid), "pidfd_open", String(pid));
}

/**
 * Duplicates the descriptor `fd` of the process behind `pidfd`, close-on-exec: pidfd_getfd(2).
 * Throws {@linkcode SystemError} `EBADF` if it is not open there.
 */
export function copyDescriptor(pidfd: number, fd: number): number {
  return check(shim.i("pidfd_getfd", pidfd, fd), "pidfd_getfd", fd);
}

/** Creates a pipe, both ends close-on-exec and blocking: pipe2(2). */
export function pipe(): [read: number, write: number] {
  const ends = new Int32Array(2);
  check(shim.b("pipe2", new Uint8Array(ends.buffer), PIPE_FLAGS), "pipe2", "");
  return [ends[0] ?? -1, ends[1] ?? -1];
}

/** Sets `O_NONBLOCK` on `fd`: fcntl(2). */
export function setNonblocking(fd: number): void {
  shim.i("fcntl", fd, UAPI.F_SETFL, flags("O", "NONBLOCK").value);
}

/** Returns the number of bytes that can be read from a pipe: `FIONREAD` of ioctl(2). */
export function bytesIn(fd: number): number {
  const count = new Uint8Array(4);
  shim.iib("ioctl", fd, UAPI.FIONREAD, count);
  return new DataView(count.buffer).getInt32(0, true);
}

/** Returns whether `fd` is a terminal: isatty(3). */
export function isTerminal(fd: number): boolean {
  return shim.iib("ioctl", fd, UAPI.TCGETS, new Uint8Array(64)) === 0;
}

/** Opens the slave of the pseudo-terminal `master`, an open `ptmx`, for `uid`; both close-on-exec: pts(4). */
export function openTerminal(master: number, uid: number): [master: number, slave: number] {
  check(shim.iib("ioctl", master, UAPI.TIOCSPTLCK, new Uint8Array(4)), "ioctl", "TIOCSPTLCK");
  const slave = check(shim.i("ioctl", master, UAPI.TIOCGPTPEER, PEER_FLAGS), "ioctl", "TIOCGPTPEER");
  shim.i("fchown", slave, uid, -1);
  return [master, slave];
}

/** Returns the size of a terminal in characters; undefined if `fd` is not a terminal: ioctl_tty(2). */
export function windowSize(fd: number): { columns: number; rows: number } | undefined {
  const size = new Uint8Array(8);
  if (shim.iib("ioctl", fd, UAPI.TIOCGWINSZ, size) < 0) return undefined;
  const view = new DataView(size.buffer);
  return { rows: view.getUint16(0, true), columns: view.getUint16(2, true) };
}

/** Sets the size of a terminal in characters; its foreground processes get SIGWINCH: ioctl_tty(2). */
export function resizeTerminal(fd: number, columns: number, rows: number): void {
  const view = new DataView(new ArrayBuffer(8));
  view.setUint16(0, rows, true);
  view.setUint16(2, columns, true);
  check(shim.iib("ioctl", fd, UAPI.TIOCSWINSZ, new Uint8Array(view.buffer)), "ioctl", "TIOCSWINSZ");
}

/** Returns the permitted capabilities of this process as a 64-bit mask: capget(2). */
export function permittedCapabilities(): bigint {
  const header = new Uint32Array([UAPI._LINUX_CAPABILITY_VERSION_3, 0]), data = new Uint32Array(6);
  check(shim.bb("capget", new Uint8Array(header.buffer), new Uint8Array(data.buffer)), "capget", "");
  return BigInt(data[1] ?? 0) | BigInt(data[4] ?? 0) << 32n;
}

/** Returns the hard limit of a resource of this process, -1 for no limit: prlimit(2). */
export function hardLimit(resource: number): number {
  const limits = new BigInt64Array(2);
  shim.iiib("prlimit64", 0, resource, 0, new Uint8Array(limits.buffer));
  return Number(limits[1] ?? -1n);
}
