/**
 * Writes a program into the one buffer that the shim reads. The layout is `shim/program.h`'s.
 *
 * @module
 */

import { errnoNumber } from "./errno.ts";
import { syscallNumber } from "./native.ts";
import type { Argument, Call, Program, PseudoCall, Step } from "./program.ts";
import type { SyscallName } from "./syscalls.ts";

const MAGIC = 0x50525353;
const HEADER_SIZE = 40, STEP_SIZE = 72;
const NONE = 0xff;
const IMMEDIATE = 0, POINTER = 1, REGISTER = 2, REGISTER_POINTER = 3;
const UNSET = -9n; // -EBADF: a register that no step has filled makes a bad descriptor
const PSEUDO: Readonly<Record<PseudoCall, number>> = {
  store: 1 << 24,
  expect: (1 << 24) + 1,
  default_signals: (1 << 24) + 2,
  drop_bounding: (1 << 24) + 3,
};

/** A program in the shim's form, and the way back from its numbers. */
export interface Encoded {
  /** The buffer that the shim runs. It is used again by the next `encode`: run it or copy it first. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The program's own step for each encoded one. */
  readonly steps: readonly Step[];
  /** The offset in `bytes` of each register's 64-bit word. */
  readonly registers: ReadonlyMap<string, number>;
}

let buffer = new Uint8Array(1 << 16);
let view = new DataView(buffer.buffer);
const encoder = new TextEncoder();

function reserve(end: number): void {
  if (end <= buffer.length) return;
  const larger = new Uint8Array(Math.max(end, buffer.length * 2));
  larger.set(buffer);
  buffer = larger;
  view = new DataView(buffer.buffer);
}

function setWord(offset: number, value: number | bigint): void {
  if (typeof value === "bigint") return view.setBigUint64(offset, BigInt.asUintN(64, value), true);
  // Two halves: much faster than one BigInt.
  view.setUint32(offset, value >>> 0, true);
  view.setInt32(offset + 4, Math.floor(value / 0x1_0000_0000), true);
}

class Writer {
  private end: number;
  private readonly relocations: number[] = [];
  private readonly strings = new Map<string, number>();
  private readonly memory = new Map<Uint8Array, number>();
  readonly registers = new Map<string, number>();
  readonly steps: Step[] = [];

  constructor(private readonly program: Program) {
    const names = new Set<string>();
    const cells = new Set<string>();
    let count = program.length;
    const visit = (argument: Argument, inside: boolean): void => {
      if (argument === null || typeof argument !== "object") return;
      if ("register" in argument) {
        names.add(argument.register);
        if (inside) count++;
      } else if ("cell" in argument) {
        names.add(argument.cell);
        cells.add(argument.cell);
      } else if ("words" in argument) argument.words.forEach((word) => visit(word, true));
    };
    for (const step of program) {
      if (step.save !== undefined) names.add(step.save);
      if (step.when !== undefined) names.add(step.when);
      step.args.forEach((argument) => visit(argument, false));
    }
    if (names.size >= NONE) throw new RangeError(`a program has at most ${NONE - 1} registers`);
    const registers = HEADER_SIZE + count * STEP_SIZE;
    this.end = registers + names.size * 8;
    reserve(this.end);
    buffer.fill(0, 0, this.end);
    for (const name of names) {
      const offset = registers + this.registers.size * 8;
      view.setBigInt64(offset, cells.has(name) ? 0n : UNSET, true);
      this.registers.set(name, offset);
    }
    view.setUint32(0, MAGIC, true);
    view.setUint32(16, count, true);
    view.setUint32(20, HEADER_SIZE, true);
    view.setUint32(24, names.size, true);
    view.setUint32(28, registers, true);
  }

  private registerIndex(name: string | undefined): number {
    if (name === undefined) return NONE;
    return ((this.registers.get(name) ?? 0) - view.getUint32(28, true)) / 8;
  }

  private claim(size: number): number {
    const offset = (this.end + 7) & ~7;
    this.end = offset + size;
    reserve(this.end);
    return offset;
  }

  private string(text: string): number {
    const known = this.strings.get(text);
    if (known !== undefined) return known;
    if (text.includes("\0")) throw new TypeError(`a NUL character cannot be passed on: ${JSON.stringify(text)}`);
    const offset = this.claim(text.length * 3 + 1);
    const { written } = encoder.encodeInto(text, buffer.subarray(offset));
    buffer[offset + written] = 0;
    this.end = offset + written + 1;
    this.strings.set(text, offset);
    return offset;
  }

  // The same bytes in two steps are the same memory: what one writes the other reads.
  private bytes(bytes: Uint8Array): number {
    const known = this.memory.get(bytes);
    if (known !== undefined) return known;
    const offset = this.claim(bytes.length);
    buffer.set(bytes, offset);
    this.memory.set(bytes, offset);
    return offset;
  }

  private pointerWord(offset: number, target: number): void {
    setWord(offset, target);
    this.relocations.push(offset);
  }

  private words(step: Step, words: readonly Argument[]): number {
    const offset = this.claim(words.length * 8);
    buffer.fill(0, offset, this.end);
    words.forEach((word, i) => {
      const at = offset + i * 8;
      if (word !== null && typeof word === "object" && "register" in word) {
        const store = { call: "store", args: [] } as const;
        this.encoded(step, store, [[POINTER, at], this.argument(step, word), [IMMEDIATE, word.plus ?? 0]]);
        return;
      }
      const [kind, value] = this.argument(step, word);
      if (kind === POINTER) this.pointerWord(at, Number(value));
      else if (kind === IMMEDIATE) setWord(at, value);
      else this.pointerWord(at, view.getUint32(28, true) + Number(value) * 8);
    });
    return offset;
  }

  private argument(step: Step, argument: Argument): [kind: number, value: number | bigint] {
    if (argument === null) return [IMMEDIATE, 0];
    if (typeof argument === "number" || typeof argument === "bigint") return [IMMEDIATE, argument];
    if (typeof argument === "string") return [POINTER, this.string(argument)];
    if ("value" in argument) return [IMMEDIATE, argument.value];
    if ("register" in argument) return [REGISTER, this.registerIndex(argument.register)];
    if ("cell" in argument) return [REGISTER_POINTER, this.registerIndex(argument.cell)];
    if ("words" in argument) return [POINTER, this.words(step, argument.words)];
    if ("bytes" in argument) {
      return [POINTER, this.bytes(argument.bytes)];
    }
    return [POINTER, this.words(step, [...argument, null])];
  }

  private encoded(step: Step, { call }: Call, args: readonly [number, number | bigint][]): void {
    const at = HEADER_SIZE + this.steps.length * STEP_SIZE;
    this.steps.push(step);
    view.setUint32(at, call in PSEUDO ? PSEUDO[call as PseudoCall] : syscallNumber(call as SyscallName), true);
    buffer[at + 4] = step.actor === "caller" ? 0 : 1;
    buffer[at + 5] = call === "store" ? NONE : this.registerIndex(step.save);
    buffer[at + 6] = this.registerIndex(step.when);
    (step.ignore ?? []).forEach((name, i) => view.setUint16(at + 8 + i * 2, errnoNumber(name), true));
    args.forEach(([kind, value], i) => {
      buffer[at + 16 + i] = kind;
      setWord(at + 24 + i * 8, value);
    });
  }

  write(): Encoded {
    for (const step of this.program) {
      const args = step.args.map((argument) => this.argument(step, argument));
      this.encoded(step, step, args);
    }
    const relocations = this.claim(this.relocations.length * 4);
    this.relocations.forEach((offset, i) => view.setUint32(relocations + i * 4, offset, true));
    view.setUint32(32, this.relocations.length, true);
    view.setUint32(36, relocations, true);
    return { bytes: buffer.subarray(0, this.end), steps: this.steps, registers: this.registers };
  }
}

/** Encodes `program` for this machine's architecture. Throws `TypeError` for a string that holds a NUL. */
export function encode(program: Program): Encoded {
  return new Writer(program).write();
}
