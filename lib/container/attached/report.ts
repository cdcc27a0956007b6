/**
 * Reports of programs that another process executes: see `ffi/shim/load.c`.
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

/** A program that another process executes, and the names of its registers in order. */
export interface RemoteProgram {
  /** The program. */
  readonly program: Program;
  /** The register names. */
  readonly registers: readonly string[];
}

/** Report of a program. */
export interface ProgramReport {
  /** The process that continues the program. Default: none. */
  readonly pid?: number;
  /** The step that failed. Default: none. */
  readonly failure?: FailedStep;
}

/** Reads a report until the pipe is closed: after the last step, or when the process dies. */
export function readReport(fd: number, { program, registers }: RemoteProgram): ProgramReport {
  const bytes = new Uint8Array(LARGEST);
  let length = 0;
  for (let n = 1; n > 0 && length < LARGEST; length += n) n = read(fd, bytes.subarray(length));
  const whole = new DataView(bytes.buffer, 0, length);
  // Two processes write in any order: one reports the PID of the other, which reports the failure.
  const at = [0, FAILURE_SIZE].find((at) =>
    length >= at + PROCESS_SIZE && whole.getUint32(at + STEP, true) === PROCESS
  );
  const pid = at === undefined ? {} : { pid: whole.getUint32(at + ERRNO, true) };
  const begin = at === 0 ? PROCESS_SIZE : 0;
  const word = new DataView(bytes.buffer, begin, Math.min(length - begin, FAILURE_SIZE));
  // Not trusted: the container may have got hold of the other end.
  const step = word.byteLength >= REGISTERS ? program[word.getUint32(STEP, true)] : undefined;
  if (!step) return pid;
  const values = registers.slice(0, (word.byteLength - REGISTERS) / 8).map((name, i): [string, number] => [
    name,
    Number(word.getBigInt64(REGISTERS + i * 8, true)),
  ]);
  return { ...pid, failure: { step, errno: word.getUint32(ERRNO, true), registers: new Map(values) } };
}
