/**
 * What comes back of a program that another process walks: see `ffi/shim/load.c`.
 *
 * @module
 */

import { read } from "../../../ffi/fs/fs.ts";
import type { Program } from "../../../ffi/program/model.ts";
import { NUMBERS, REPORT } from "../../../ffi/shim/layout.ts";
import type { FailedStep } from "./failure.ts";

const { size: FAILURE_SIZE, step: STEP, error: ERRNO, registers: REGISTERS } = REPORT;
// The report of a process ends before the registers.
const PROCESS = NUMBERS.PROCESS_REPORT, PROCESS_SIZE = REGISTERS, LARGEST = PROCESS_SIZE + FAILURE_SIZE;

/** A program that another process walks, and the names of its registers in order. */
export interface RemoteProgram {
  /** The program. */
  readonly program: Program;
  /** The names. */
  readonly registers: readonly string[];
}

/** What was reported. */
export interface ProgramReport {
  /** The process that goes on with the program. */
  readonly pid?: number;
  /** The step that failed. Default: none did. */
  readonly failure?: FailedStep;
}

/** Reads a pipe until its other end is closed: when the last step is done, or the process is gone. */
export function readReport(fd: number, { program, registers }: RemoteProgram): ProgramReport {
  const bytes = new Uint8Array(LARGEST);
  let length = 0;
  for (let n = 1; n > 0 && length < LARGEST; length += n) n = read(fd, bytes.subarray(length));
  const whole = new DataView(bytes.buffer, 0, length);
  // The one who says which process it is, and that process, which says what has failed, write when they come to it.
  const at = [0, FAILURE_SIZE].find((at) =>
    length >= at + PROCESS_SIZE && whole.getUint32(at + STEP, true) === PROCESS
  );
  const pid = at === undefined ? {} : { pid: whole.getUint32(at + ERRNO, true) };
  const begin = at === 0 ? PROCESS_SIZE : 0;
  const word = new DataView(bytes.buffer, begin, Math.min(length - begin, FAILURE_SIZE));
  // Who has got hold of the other end can write anything.
  const step = word.byteLength >= REGISTERS ? program[word.getUint32(STEP, true)] : undefined;
  if (!step) return pid;
  const values = registers.slice(0, (word.byteLength - REGISTERS) / 8).map((name, i): [string, number] => [
    name,
    Number(word.getBigInt64(REGISTERS + i * 8, true)),
  ]);
  return { ...pid, failure: { step, errno: word.getUint32(ERRNO, true), registers: new Map(values) } };
}
