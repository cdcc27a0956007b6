/**
 * Execution of programs: in this thread, or by a shim that is given a memfd or a pipe.
 *
 * @module
 */

import { checkCapacity, encode, type Encoded } from "./encode.ts";
import { close, writeAll } from "../fs/fs.ts";
import { cString, shim, shimFd } from "../native.ts";
import { readU32, refusalIn } from "../netlink/messages.ts";
import type { Cell, Program, Step } from "./model.ts";
import { NUMBERS, PROGRAM } from "../shim/layout.ts";

/** Outcome of a program: its registers, and if a step failed, that step and its errno. */
export type Outcome =
  | { ok: true; registers: ReadonlyMap<string, number> }
  | { ok: false; step: Step; errno: number; registers: ReadonlyMap<string, number>; detail?: string };

const MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, F_ADD_SEALS = 1033, SEAL_ALL = 0xf;
const OPENING: ReadonlySet<string> = new Set([
  "openat",
  "openat2",
  "pidfd_open",
  "pidfd_getfd",
  "open_tree",
  "socket",
  "bpf",
]);

/** Returns the registers in which the caller's steps leave descriptors of the calling process. */
function descriptors(program: Program): string[] {
  const names: string[] = [];
  for (const { actor, call, save, args } of program) {
    if (actor !== "caller") continue;
    if (save !== undefined && OPENING.has(call)) names.push(save);
    if (call !== "clone3") continue;
    const [cloneArgs] = args;
    if (cloneArgs === null || typeof cloneArgs !== "object" || !("words" in cloneArgs)) continue;
    const isCell = (word: unknown): word is Cell => typeof word === "object" && word !== null && "cell" in word;
    names.push(...cloneArgs.words.filter(isCell).map((cell) => cell.cell));
  }
  return names;
}

/** Returns the message that the kernel sent with the errno, if the step was a netlink request. */
function detailOf(
  { call, args: [, , , answer] }: Step,
  bytes: Uint8Array<ArrayBuffer>,
  memory: ReadonlyMap<Uint8Array, number>,
): string | undefined {
  if (call !== "netlink" || answer === null || typeof answer !== "object" || !("bytes" in answer)) return undefined;
  const at = memory.get(answer.bytes) ?? 0;
  return refusalIn(bytes.subarray(at, at + readU32(bytes.subarray(at, at + 4))))?.detail;
}

/** Reads the outcome of an encoded program that has been run; `bytes` are its memory. */
export function outcomeOf(
  { steps, registers, memory }: Omit<Encoded, "bytes">,
  bytes: Uint8Array<ArrayBuffer>,
): Outcome {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const values = new Map<string, number>();
  for (const [name, offset] of registers) values.set(name, Number(view.getBigInt64(offset, true)));
  const errno = view.getUint32(PROGRAM.failedErrno, true);
  const step = steps[view.getUint32(PROGRAM.failedStep, true)];
  if (errno && step) return { ok: false, step, errno, registers: values, detail: detailOf(step, bytes, memory) };
  return { ok: true, registers: values };
}

/**
 * Runs `program` in this thread, which must be the main one: the container dies with the thread that makes it.
 * Descriptors that the caller's steps opened are closed at the end, except, if all went well, those in the registers
 * named by `keep`.
 */
export function execute(program: Program, keep: readonly string[] = []): Outcome {
  const encoded = encode(program);
  const result = shim.run(encoded.bytes);
  const outcome = outcomeOf(encoded, encoded.bytes);
  if (outcome.ok && result < 0) throw new Error("cannot run the program: the shim finds it malformed");
  for (const name of descriptors(program)) {
    const fd = outcome.registers.get(name) ?? 0;
    if (fd > 2 && (!outcome.ok || !keep.includes(name))) close(fd);
  }
  return outcome;
}

/** Encodes a program for a shim that reports its registers. */
function encodeReported(program: Program): Encoded {
  const encoded = encode(program);
  checkCapacity("the registers of a reported program", encoded.registers.size, NUMBERS.MAX_REPORTED);
  return encoded;
}

/**
 * Creates a sealed memfd that holds the encoded `program`, for another process of the shim. Returns it, close-on-exec and
 * to be closed by the caller, and the names of the program's registers in order.
 *
 * @throws {TypeError} if a string of the program holds a NUL.
 * @throws {CapacityError} if the program has too many registers for a report.
 */
export function programFile(program: Program): { fd: number; registers: string[] } {
  const { bytes, registers } = encodeReported(program);
  const fd = shim.b("memfd_create", cString("program"), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0 || shim.ib("write", fd, bytes, bytes.length) !== bytes.length) {
    if (fd >= 0) close(fd);
    throw new Error("cannot create the program's memfd: no memory");
  }
  shim.i("fcntl", fd, F_ADD_SEALS, SEAL_ALL);
  return { fd, registers: [...registers.keys()] };
}

/**
 * Writes the encoded `program` to the pipe `fd`, for a shim that waits for it. Returns the names of its registers in order.
 *
 * @throws {SystemError} `EPIPE` if the shim has exited.
 * @throws {CapacityError} if the program has too many registers for a report.
 */
export function sendProgram(fd: number, program: Program): string[] {
  const { bytes, registers } = encodeReported(program);
  writeAll(fd, bytes);
  return [...registers.keys()];
}

export { shimFd };
