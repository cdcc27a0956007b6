/**
 * Writes a program into the one buffer that the shim reads. The layout is `shim/program.h`'s.
 *
 * @module
 */

import { errnoNumber } from "./errno.ts";
import { syscallNumber } from "./native.ts";
import type { Argument, Call, Program, PseudoCall, Register, Step } from "./program.ts";
import type { SyscallName } from "./syscalls.ts";

const MAGIC = 0x50525353;
const HEADER_SIZE = 40, STEP_SIZE = 72;
const NONE = 0xffff;
const IMMEDIATE = 0, POINTER = 1, REGISTER = 2, REGISTER_POINTER = 3;
const UNSET = -9; // -EBADF: a register that no step has filled makes a bad descriptor
const PSEUDO: Readonly<Record<PseudoCall, number>> = {
  store: 1 << 24,
  expect: (1 << 24) + 1,
  default_signals: (1 << 24) + 2,
  drop_bounding: (1 << 24) + 3,
  netlink: (1 << 24) + 4,
  go_on_in_child: (1 << 24) + 5,
  remove_tree: (1 << 24) + 6,
  remove_group: (1 << 24) + 7,
};

/** A program in the shim's form, and the way back from its numbers. */
export interface Encoded {
  /** The buffer that the shim runs. It is used again by the next `encode`: run it or copy it first. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The program's own step for each encoded one. */
  readonly steps: readonly Step[];
  /** The offset in `bytes` of each register's 64-bit word. */
  readonly registers: ReadonlyMap<string, number>;
  /** The offset in `bytes` of each array of the program's. */
  readonly memory: ReadonlyMap<Uint8Array, number>;
}

let bytes = new Uint8Array(1 << 16);
// Both architectures are little-endian, and everything but strings is aligned.
let words = new Uint32Array(bytes.buffer);
const encoder = new TextEncoder();
/** Texts with as many bytes as characters; almost all. */
const PLAIN = /^[ -~\n\t]*$/;

function reserve(end: number): void {
  if (end <= bytes.length) return;
  const larger = new Uint8Array(Math.max(end + 7 & ~7, bytes.length * 2));
  larger.set(bytes);
  bytes = larger;
  words = new Uint32Array(bytes.buffer);
}

/** Writes 64 bits at a multiple of 8. */
function setWord(offset: number, value: number | bigint): void {
  const at = offset >> 2;
  if (typeof value === "bigint") {
    words[at] = Number(value & 0xffffffffn);
    words[at + 1] = Number(value >> 32n & 0xffffffffn);
  } else {
    words[at] = value;
    words[at + 1] = value >= 0 && value < 0x1_0000_0000 ? 0 : Math.floor(value / 0x1_0000_0000);
  }
}

/** Texts as bytes of memory, each once, with its NUL. They are written at once: each call of the encoder costs. */
class Texts {
  size = 0;
  private readonly offsets = new Map<string, number>();
  private all = "";

  add(text: string): void {
    if (this.offsets.has(text)) return;
    if (text.includes("\0")) throw new TypeError(`a NUL character cannot be passed on: ${JSON.stringify(text)}`);
    this.offsets.set(text, this.size);
    this.all += text + "\0";
    this.size += (PLAIN.test(text) ? text.length : encoder.encode(text).length) + 1;
  }

  offset(text: string): number {
    return this.offsets.get(text) ?? 0;
  }

  write(offset: number): void {
    encoder.encodeInto(this.all, bytes.subarray(offset, offset + this.size));
  }
}

/** What a step's arguments need beside the step: texts, registers, and steps that store registers into structures. */
class Needs {
  readonly texts = new Texts();
  readonly names = new Set<string>();
  readonly cells = new Set<string>();
  stores = 0;

  constructor(program: Program) {
    for (const step of program) {
      if (step.save !== undefined) this.names.add(step.save);
      if (step.when !== undefined) this.names.add(step.when);
      for (const argument of step.args) this.visit(argument, false);
    }
    if (this.names.size >= NONE) throw new RangeError(`a program has at most ${NONE - 1} registers`);
  }

  private visit(argument: Argument, inside: boolean): void {
    if (typeof argument === "string") return this.texts.add(argument);
    if (argument === null || typeof argument !== "object" || "value" in argument || "bytes" in argument) return;
    if ("register" in argument) {
      this.names.add(argument.register);
      if (inside) this.stores++;
    } else if ("cell" in argument) {
      this.names.add(argument.cell);
      this.cells.add(argument.cell);
    } else if ("words" in argument) {
      for (const word of argument.words) this.visit(word, true);
    } else {
      for (const text of argument) this.texts.add(text);
    }
  }
}

class Writer {
  readonly registers = new Map<string, number>();
  readonly steps: Step[] = [];
  private readonly firstRegister: number;
  private end: number;
  private readonly relocations: number[] = [];
  private readonly texts: Texts;
  private readonly firstText: number;
  readonly memory = new Map<Uint8Array, number>();

  constructor(private readonly program: Program) {
    const needs = new Needs(program);
    const count = program.length + needs.stores;
    this.firstRegister = HEADER_SIZE + count * STEP_SIZE;
    this.texts = needs.texts;
    this.firstText = this.firstRegister + needs.names.size * 8;
    this.end = this.firstText + this.texts.size;
    reserve(this.end);
    bytes.fill(0, 0, this.firstText);
    this.texts.write(this.firstText);
    for (const name of needs.names) {
      const offset = this.firstRegister + this.registers.size * 8;
      setWord(offset, needs.cells.has(name) ? 0 : UNSET);
      this.registers.set(name, offset);
    }
    words[0] = MAGIC;
    words[4] = count;
    words[5] = HEADER_SIZE;
    words[6] = needs.names.size;
    words[7] = this.firstRegister;
  }

  private registerIndex(name: string | undefined): number {
    if (name === undefined) return NONE;
    return ((this.registers.get(name) ?? 0) - this.firstRegister) / 8;
  }

  private claim(size: number): number {
    const offset = (this.end + 7) & ~7;
    this.end = offset + size;
    reserve(this.end);
    return offset;
  }

  // The same bytes in two steps are the same memory: what one writes the other reads.
  private copy(source: Uint8Array): number {
    const known = this.memory.get(source);
    if (known !== undefined) return known;
    const offset = this.claim(source.length);
    bytes.set(source, offset);
    this.memory.set(source, offset);
    return offset;
  }

  private pointerWord(offset: number, target: number): void {
    setWord(offset, target);
    this.relocations.push(offset);
  }

  private structure(step: Step, fields: readonly Argument[]): number {
    const offset = this.claim(fields.length * 8);
    bytes.fill(0, offset, this.end);
    for (let i = 0; i < fields.length; i++) this.field(step, fields[i] ?? null, offset + i * 8);
    return offset;
  }

  private field(step: Step, field: Argument, at: number): void {
    if (field !== null && typeof field === "object") {
      if ("register" in field) return this.store(step, field, at);
      if ("cell" in field) return this.pointerWord(at, this.registers.get(field.cell) ?? 0);
    }
    if (this.kindOf(field) === IMMEDIATE) setWord(at, this.valueOf(step, field));
    else this.pointerWord(at, Number(this.valueOf(step, field)));
  }

  private store(step: Step, { register, plus }: Register, at: number): void {
    const slot = this.begin(step, PSEUDO.store);
    this.setHalf(slot + 4, NONE);
    this.slot(slot, 0, POINTER, at);
    this.slot(slot, 1, REGISTER, this.registerIndex(register));
    this.slot(slot, 2, IMMEDIATE, plus ?? 0);
  }

  private kindOf(argument: Argument): number {
    if (argument === null || typeof argument === "number" || typeof argument === "bigint") return IMMEDIATE;
    if (typeof argument === "string") return POINTER;
    if ("value" in argument) return IMMEDIATE;
    if ("register" in argument) return REGISTER;
    return "cell" in argument ? REGISTER_POINTER : POINTER;
  }

  private valueOf(step: Step, argument: Argument): number | bigint {
    if (argument === null) return 0;
    if (typeof argument === "number" || typeof argument === "bigint") return argument;
    if (typeof argument === "string") return this.firstText + this.texts.offset(argument);
    if ("value" in argument) return argument.value;
    if ("register" in argument) return this.registerIndex(argument.register);
    if ("cell" in argument) return this.registerIndex(argument.cell);
    if ("words" in argument) return this.structure(step, argument.words);
    if ("bytes" in argument) return this.copy(argument.bytes);
    return this.structure(step, [...argument, null]);
  }

  private begin(step: Step, call: number): number {
    const slot = HEADER_SIZE + this.steps.length * STEP_SIZE;
    this.steps.push(step);
    words[slot >> 2] = call;
    this.setHalf(slot + 4, this.registerIndex(step.save));
    this.setHalf(slot + 6, this.registerIndex(step.when));
    bytes[slot + 22] = step.actor === "caller" ? 0 : 1;
    return slot;
  }

  private setHalf(offset: number, value: number): void {
    bytes[offset] = value;
    bytes[offset + 1] = value >> 8;
  }

  private slot(slot: number, i: number, kind: number, value: number | bigint): void {
    bytes[slot + 16 + i] = kind;
    setWord(slot + 24 + i * 8, value);
  }

  private add(step: Step): void {
    // The values come first: a structure may want hidden steps before this one.
    const values: (number | bigint)[] = [];
    for (const argument of step.args) values.push(this.valueOf(step, argument));
    const slot = this.begin(step, callNumber(step.call));
    const { ignore } = step;
    for (let i = 0; ignore && i < ignore.length; i++) {
      const name = ignore[i];
      if (name) bytes[slot + 8 + i * 2] = errnoNumber(name);
    }
    for (let i = 0; i < values.length; i++) this.slot(slot, i, this.kindOf(step.args[i] ?? null), values[i] ?? 0);
  }

  write(): Encoded {
    for (const step of this.program) this.add(step);
    const relocations = this.claim(this.relocations.length * 4);
    words.set(this.relocations, relocations >> 2);
    words[8] = this.relocations.length;
    words[9] = relocations;
    const { steps, registers, memory } = this;
    return { bytes: bytes.subarray(0, this.end), steps, registers, memory };
  }
}

function callNumber(call: Call["call"]): number {
  return call in PSEUDO ? PSEUDO[call as PseudoCall] : syscallNumber(call as SyscallName);
}

/** Encodes `program` for this machine's architecture. Throws `TypeError` for a string that holds a NUL. */
export function encode(program: Program): Encoded {
  return new Writer(program).write();
}
