/**
 * Runs programs.
 *
 * @module
 */

import { encode, type Encoded } from "./encode.ts";
import { close, writeAll } from "../fs/fs.ts";
import { cString, shim, shimFd } from "../native.ts";
import { readU32, refusalIn } from "../netlink/messages.ts";
import type { Cell, Program, Step } from "./model.ts";

/** How a program ended: what its registers hold, or which step failed and with which error number. */
export type Outcome =
  | { ok: true; registers: ReadonlyMap<string, number> }
  | { ok: false; step: Step; errno: number; registers: ReadonlyMap<string, number>; detail?: string };

const FAILED_STEP = 8, FAILED_ERRNO = 12;
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

/** The registers in which the caller's steps leave descriptors of the calling process. */
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

/** What the kernel said beside the error number, if the step was a netlink request. */
function detailOf(
  { call, args: [, , , answer] }: Step,
  bytes: Uint8Array<ArrayBuffer>,
  memory: ReadonlyMap<Uint8Array, number>,
): string | undefined {
  if (call !== "netlink" || answer === null || typeof answer !== "object" || !("bytes" in answer)) return undefined;
  const at = memory.get(answer.bytes) ?? 0;
  return refusalIn(bytes.subarray(at, at + readU32(bytes.subarray(at, at + 4))))?.detail;
}

/** What became of an encoded program that has been run; `bytes` are its memory. */
export function outcomeOf(
  { steps, registers, memory }: Omit<Encoded, "bytes">,
  bytes: Uint8Array<ArrayBuffer>,
): Outcome {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const values = new Map<string, number>();
  for (const [name, offset] of registers) values.set(name, Number(view.getBigInt64(offset, true)));
  const errno = view.getUint32(FAILED_ERRNO, true);
  const step = steps[view.getUint32(FAILED_STEP, true)];
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
  shim.run(encoded.bytes);
  const outcome = outcomeOf(encoded, encoded.bytes);
  for (const name of descriptors(program)) {
    const fd = outcome.registers.get(name) ?? 0;
    if (fd > 2 && (!outcome.ok || !keep.includes(name))) close(fd);
  }
  return outcome;
}

/**
 * A sealed memfd that holds the encoded `program`, for the shim's init, and the names of its registers in order.
 * Close-on-exec; the caller closes it.
 * Throws `TypeError` if a string of the program holds a NUL.
 */
export function programFile(program: Program): { fd: number; registers: string[] } {
  const { bytes, registers } = encode(program);
  const fd = shim.b("memfd_create", cString("program"), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0 || shim.ib("write", fd, bytes, bytes.length) !== bytes.length) {
    throw new Error("no memory for the container's init program");
  }
  shim.i("fcntl", fd, F_ADD_SEALS, SEAL_ALL);
  return { fd, registers: [...registers.keys()] };
}

/**
 * Writes the encoded `program` to the pipe `fd`, for a shim that waits for it. Returns the names of its registers in order.
 *
 * @throws {SystemError} `EPIPE` if nobody waits any more.
 */
export function sendProgram(fd: number, program: Program): string[] {
  const { bytes, registers } = encode(program);
  writeAll(fd, bytes);
  return [...registers.keys()];
}

export { shimFd };
