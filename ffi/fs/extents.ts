/**
 * Content of sparse files: extents (`SEEK_DATA`, `SEEK_HOLE` of lseek(2)), reflinks, copying, truncation. Offsets have 64
 * bits, which only programs can pass.
 *
 * @module
 */

import { execute } from "../program/execute.ts";
import { UAPI } from "../program/flags.ts";
import { type Call, callerStep, type Program, type Register, register } from "../program/model.ts";
import { shim } from "../native.ts";
import { check, SystemError } from "./fs.ts";

/** A range of a file that holds data. */
export type Extent = readonly [offset: number, length: number];

const BATCH = 16, MAX_COPY = 1 << 30;
const WHENCE = { SET: 0, DATA: 3, HOLE: 4 } as const;

/** Returns a call of lseek(2). */
function seek(fd: number, offset: number | Register, whence: keyof typeof WHENCE): Call {
  return { call: "lseek", args: [fd, offset, { value: WHENCE[whence], text: `SEEK_${whence}` }] };
}

/** Returns steps that find the next extents from `offset` on: the next data, the hole behind it, and so on. */
function extentSteps(fd: number, offset: number): Program {
  return Array.from({ length: BATCH }, (_, i) => [
    callerStep("find data", seek(fd, i ? register(`hole${i - 1}`) : offset, "DATA"), {
      save: `data${i}`,
      when: i ? `hole${i - 1}` : undefined,
      ignore: ["ENXIO"],
    }),
    callerStep("find a hole", seek(fd, register(`data${i}`), "HOLE"), {
      save: `hole${i}`,
      when: `data${i}`,
      ignore: ["ENXIO"],
    }),
  ]).flat();
}

function run(program: Program, fd: number): ReadonlyMap<string, number> {
  const outcome = execute(program);
  if (!outcome.ok) throw new SystemError("lseek", `descriptor ${fd}`, outcome.errno);
  return outcome.registers;
}

/** Yields the extents of an open file of `size` bytes in order. Moves its offset. Throws {@linkcode SystemError}. */
export function* extentsOf(fd: number, size: number): Generator<Extent> {
  for (let offset = 0; offset < size;) {
    const found = run(extentSteps(fd, offset), fd);
    for (let i = 0; i < BATCH; i++) {
      const data = found.get(`data${i}`) ?? -1, hole = found.get(`hole${i}`) ?? -1;
      if (data < 0 || hole <= data || data >= size) return;
      offset = Math.min(hole, size);
      yield [data, offset - data];
    }
  }
}

/** Moves the offset of an open file: lseek(2). Throws {@linkcode SystemError}. */
export function seekTo(fd: number, offset: number): void {
  run([callerStep("seek", seek(fd, offset, "SET"))], fd);
}

/** Lets the empty file `to` share all blocks of `from`; false if the file system cannot: `FICLONE` of ioctl_ficlone(2). */
export function shareBlocks(from: number, to: number): boolean {
  return shim.i("ioctl", to, UAPI.FICLONE, from) === 0;
}

/** Copies bytes between files of one file system, at their offsets: copy_file_range(2). Throws {@linkcode SystemError}. */
export function copyBytes(from: number, to: number, length: number): void {
  for (let left = length; left > 0;) {
    const n = check(shim.copyRange(from, to, Math.min(left, MAX_COPY)), "copy_file_range", from);
    if (n === 0) return;
    left -= n;
  }
}
