/**
 * Processes behind pidfds, pipes, and terminals.
 *
 * @module
 */

import { forget, ready } from "./events.ts";
import { close, SystemError } from "../fs/fs.ts";
import { shim } from "../native.ts";

/** How a process ended: its exit code, or the number of the signal that killed it. */
export interface Ending {
  /** What it passed to exit; 128 plus the signal's number if one killed it. */
  code: number;
  /** The number of the signal that killed it. Default: none did. */
  signal?: number;
}

/** Signal numbers (`signal(7)`). */
export const SIGKILL = 9, SIGTERM = 15;

const P_PIDFD = 3, WEXITED = 4, WNOHANG = 1, WNOWAIT = 0x1000000, CLD_EXITED = 1;
const CAPABILITY_VERSION_3 = 0x20080522;
const SIGINFO_SIZE = 128, SI_SIGNO = 0, SI_CODE = 8, SI_STATUS = 24;
const O_CLOEXEC = 0x80000, F_SETFL = 4, O_NONBLOCK = 0x800;
const O_RDWR = 2, O_NOCTTY = 0x100, TIOCSPTLCK = 0x40045431, TIOCGPTPEER = 0x5441;
const TCGETS = 0x5401, TIOCGWINSZ = 0x5413, TIOCSWINSZ = 0x5414, FIONREAD = 0x541b;

/**
 * Waits for the process behind `pidfd`, reaps it and closes `pidfd`. It must be our child. `gone` is called before the
 * descriptor is closed, as its number may be another process's right afterwards.
 */
export async function reap(pidfd: number, gone: () => void = () => {}): Promise<Ending> {
  if (!hasEnded(pidfd)) await ready(pidfd, "in");
  gone();
  return reapNow(pidfd);
}

/** Whether the process behind `pidfd`, our child, has ended and waits to be reaped. */
function hasEnded(pidfd: number): boolean {
  const info = new Uint8Array(SIGINFO_SIZE);
  shim.iib("waitid", P_PIDFD, pidfd, info, WEXITED | WNOHANG | WNOWAIT);
  return new DataView(info.buffer).getInt32(SI_SIGNO, true) !== 0;
}

/** Whether the process behind `pidfd` is a child of ours that has not been reaped. */
export function isChild(pidfd: number): boolean {
  return shim.iib("waitid", P_PIDFD, pidfd, new Uint8Array(SIGINFO_SIZE), WEXITED | WNOHANG | WNOWAIT) >= 0;
}

/** Like {@linkcode reap}, but blocks the thread: for a process that is about to end. */
export function reapNow(pidfd: number): Ending {
  const info = new Uint8Array(SIGINFO_SIZE);
  const result = shim.iib("waitid", P_PIDFD, pidfd, info, WEXITED);
  forget(pidfd);
  close(pidfd);
  if (result < 0) throw new SystemError("waitid", `pidfd ${pidfd}`, -result);
  const view = new DataView(info.buffer);
  const status = view.getInt32(SI_STATUS, true);
  return view.getInt32(SI_CODE, true) === CLD_EXITED ? { code: status } : { code: 128 + status, signal: status };
}

/** Sends a signal to the process behind `pidfd`; false if it has ended. */
export function sendSignal(pidfd: number, signal: number): boolean {
  const ESRCH = 3;
  const result = shim.i("pidfd_send_signal", pidfd, signal);
  if (result < 0 && result !== -ESRCH) throw new SystemError("pidfd_send_signal", `signal ${signal}`, -result);
  return result === 0;
}

/**
 * From now on this process gets the signal that is returned when it is sent SIGUSR1: Deno would open a debugger, through
 * which every user of this machine could run what they like as ours.
 */
export function divertUserSignal(): Deno.Signal {
  const SIGUSR1 = 10;
  // Deno sets its own handler when a signal is first listened to, so that it does not replace ours later.
  Deno.addSignalListener("SIGUSR1", () => {});
  shim.divert(SIGUSR1);
  return "SIGSTKFLT";
}

/** Splits the text of a `/proc/PID/stat` into its fields, by their numbers in proc_pid_stat(5). */
export function statFields(text: string): string[] {
  // The name in parentheses may itself contain spaces and parentheses.
  const open = text.indexOf("("), close = text.lastIndexOf(")");
  return ["", text.slice(0, open - 1), text.slice(open + 1, close), ...text.slice(close + 2).split(" ")];
}

/** A pidfd of the process `pid`. Throws {@linkcode SystemError} `ESRCH` if there is none. */
export function openProcess(pid: number): number {
  const fd = shim.i("pidfd_open", pid);
  if (fd < 0) throw new SystemError("pidfd_open", String(pid), -fd);
  return fd;
}

/**
 * A copy of the descriptor `fd` of the process behind `pidfd` (`pidfd_getfd(2)`), close-on-exec.
 * Throws {@linkcode SystemError} `EBADF` if it has none of that number.
 */
export function copyDescriptor(pidfd: number, fd: number): number {
  const copy = shim.i("pidfd_getfd", pidfd, fd);
  if (copy < 0) throw new SystemError("pidfd_getfd", `descriptor ${fd}`, -copy);
  return copy;
}

/** A pipe, both ends close-on-exec and blocking: `[read, write]`. */
export function pipe(): [read: number, write: number] {
  const ends = new Int32Array(2);
  const result = shim.b("pipe2", new Uint8Array(ends.buffer), O_CLOEXEC);
  if (result < 0) throw new SystemError("pipe2", "", -result);
  return [ends[0] ?? -1, ends[1] ?? -1];
}

/** Makes reads and writes of `fd` return at once. */
export function setNonblocking(fd: number): void {
  shim.i("fcntl", fd, F_SETFL, O_NONBLOCK);
}

/** How many bytes can be read of a pipe now. */
export function bytesIn(fd: number): number {
  const count = new Uint8Array(4);
  shim.iib("ioctl", fd, FIONREAD, count);
  return new DataView(count.buffer).getInt32(0, true);
}

/** Whether `fd` is a terminal. */
export function isTerminal(fd: number): boolean {
  return shim.iib("ioctl", fd, TCGETS, new Uint8Array(64)) === 0;
}

/**
 * Both sides of a new terminal, close-on-exec; `multiplexer` is an opened `ptmx`, which becomes our side (`pts(4)`). The
 * other belongs to `uid`.
 */
export function openTerminal(multiplexer: number, uid: number): [ours: number, theirs: number] {
  const unlocked = shim.iib("ioctl", multiplexer, TIOCSPTLCK, new Uint8Array(4));
  if (unlocked < 0) throw new SystemError("ioctl", "TIOCSPTLCK", -unlocked);
  const peer = shim.i("ioctl", multiplexer, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (peer < 0) throw new SystemError("ioctl", "TIOCGPTPEER", -peer);
  shim.i("fchown", peer, uid, -1);
  return [multiplexer, peer];
}

/** The size of a terminal in characters; undefined if `fd` is none. */
export function windowSize(fd: number): { columns: number; rows: number } | undefined {
  const size = new Uint8Array(8);
  if (shim.iib("ioctl", fd, TIOCGWINSZ, size) < 0) return undefined;
  const view = new DataView(size.buffer);
  return { rows: view.getUint16(0, true), columns: view.getUint16(2, true) };
}

/** Sets the size of a terminal in characters; its foreground processes get SIGWINCH. */
export function resizeTerminal(fd: number, columns: number, rows: number): void {
  const view = new DataView(new ArrayBuffer(8));
  view.setUint16(0, rows, true);
  view.setUint16(2, columns, true);
  const result = shim.iib("ioctl", fd, TIOCSWINSZ, new Uint8Array(view.buffer));
  if (result < 0) throw new SystemError("ioctl", "TIOCSWINSZ", -result);
}

/** The capabilities that this process may use, as a mask of 64 bits (`capget(2)`). */
export function permittedCapabilities(): bigint {
  const header = new Uint32Array([CAPABILITY_VERSION_3, 0]), data = new Uint32Array(6);
  const result = shim.bb("capget", new Uint8Array(header.buffer), new Uint8Array(data.buffer));
  if (result < 0) throw new SystemError("capget", "", -result);
  return BigInt(data[1] ?? 0) | BigInt(data[4] ?? 0) << 32n;
}

/** The hard limit of a resource of this process, by the resource's number (`getrlimit(2)`); -1 is no limit. */
export function hardLimit(resource: number): number {
  const limits = new BigInt64Array(2);
  shim.iiib("prlimit64", 0, resource, 0, new Uint8Array(limits.buffer));
  return Number(limits[1] ?? -1n);
}
