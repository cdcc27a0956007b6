/**
 * Where the data of files with holes is. Offsets have 64 bits, which only programs can pass.
 *
 * @module
 */

import { execute } from "../program/execute.ts";
import { SystemError } from "./fs.ts";
import { type Call, callerStep, type Program, type Register, register } from "../program/model.ts";

/** A piece of a file that holds data. */
export type Extent = readonly [offset: number, length: number];

const AT_ONCE = 16;
const WHENCE = { SET: 0, DATA: 3, HOLE: 4 } as const;

/** lseek(2). */
function seek(fd: number, offset: number | Register, whence: keyof typeof WHENCE): Call {
  return { call: "lseek", args: [fd, offset, { value: WHENCE[whence], text: `SEEK_${whence}` }] };
}

/** Asks for some extents from `offset` on: where the next data begins, where the next hole, and so on. */
function questions(fd: number, offset: number): Program {
  return Array.from({ length: AT_ONCE }, (_, i) => [
    callerStep("look for data", seek(fd, i ? register(`hole${i - 1}`) : offset, "DATA"), {
      save: `data${i}`,
      when: i ? `hole${i - 1}` : undefined,
      ignore: ["ENXIO"],
    }),
    callerStep("look for a hole", seek(fd, register(`data${i}`), "HOLE"), {
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

/** The pieces of an open file of `size` bytes that hold data, in order. Moves its offset. Throws {@linkcode SystemError}. */
export function* extentsOf(fd: number, size: number): Generator<Extent> {
  for (let offset = 0; offset < size;) {
    const answers = run(questions(fd, offset), fd);
    for (let i = 0; i < AT_ONCE; i++) {
      const data = answers.get(`data${i}`) ?? -1, hole = answers.get(`hole${i}`) ?? -1;
      if (data < 0 || hole <= data || data >= size) return;
      offset = Math.min(hole, size);
      yield [data, offset - data];
    }
  }
}

/** Goes to `offset` in an open file. Throws {@linkcode SystemError}. */
export function seekTo(fd: number, offset: number): void {
  run([callerStep("go to the data", seek(fd, offset, "SET"))], fd);
}
