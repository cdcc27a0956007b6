/**
 * Encoder of programs: one buffer that the shim reads, of the layout of `shim/program.h`.
 *
 * @module
 */

import { errnoNumber } from "../errno.ts";
import { callNumber } from "../native.ts";
import type { Argument, Program, Register, Step } from "./model.ts";
import { NUMBERS, PROGRAM, STEP } from "../shim/layout.ts";

// Bindings of the module's own, since properties of imported objects are slower to read before code is optimized.
const { MAGIC, NONE, IMMEDIATE, POINTER, REGISTER, REGISTER_POINTER, CALLER, CONTAINER, MAX_IGNORED, MAX_ARGUMENTS } =
  NUMBERS;
const { size: HEADER_SIZE } = PROGRAM;
const { size: STEP_SIZE, call: CALL, save: SAVE, when: WHEN, ignored: IGNORED, kinds: KINDS, actor: ACTOR } = STEP;
const { arguments: ARGUMENTS } = STEP;
const UNSET = -9; // -EBADF: a register that no step has filled makes a bad descriptor

/** A program or job that has more, or longer, or larger parts than the shim's format has room for. */
export class CapacityError extends RangeError {
  /** A short stable name that programs can compare. */
  readonly code = "too-large-for-shim";
  /** The part, its size, and the largest possible one. */
  readonly facts: { readonly part: string; readonly size: number; readonly limit: number };

  /** Creates an error for a `part` of `size`, of which the limit is `limit`. */
  constructor(part: string, size: number, limit: number) {
    super(`cannot encode ${part}: ${size} is above the limit of ${limit}`);
    this.name = "CapacityError";
    this.facts = { part, size, limit };
  }
}

/** Throws {@linkcode CapacityError} if `size` is above `limit`. */
export function checkCapacity(part: string, size: number, limit: number): void {
  if (size > limit) throw new CapacityError(part, size, limit);
}

/** An encoded program, and the names behind its numbers. */
export interface Encoded {
  /** The buffer that the shim runs. The next `encode` reuses it: run it or copy it first. */
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
/** Of a UTF-16 code unit in UTF-8, at most. */
const MOST_BYTES = 3;

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

/** The parts of an encoded program beside its steps. */
interface Layout {
  /** Texts, each once, by their offset from the first in {@linkcode text}. */
  readonly texts: Map<string, number>;
  /** All texts with their NULs: they are written at once, as each call of the encoder costs. */
  text: string;
  /** Registers by their place. */
  readonly registers: Map<string, number>;
  /** Registers that system calls write to. */
  readonly cells: Set<string>;
  /** Number of steps that store registers into structures. */
  stores: number;
}

/** A program that is being encoded. */
interface Draft extends Layout {
  readonly firstRegister: number;
  readonly firstText: number;
  readonly steps: Step[];
  readonly memory: Map<Uint8Array, number>;
  readonly relocations: number[];
  end: number;
}

function addText(layout: Layout, text: string): void {
  if (layout.texts.has(text)) return;
  if (text.includes("\0")) throw new TypeError(`invalid string ${JSON.stringify(text)}: it holds a NUL character`);
  layout.texts.set(text, layout.text.length);
  layout.text += text + "\0";
}

function addRegister({ registers }: Layout, name: string): void {
  if (!registers.has(name)) registers.set(name, registers.size);
}

function addNeeds(layout: Layout, argument: Argument, inside: boolean): void {
  if (typeof argument === "string") return addText(layout, argument);
  if (argument === null || typeof argument !== "object" || "value" in argument || "bytes" in argument) return;
  if ("register" in argument) {
    addRegister(layout, argument.register);
    if (argument.high !== undefined) addRegister(layout, argument.high);
    if (inside) layout.stores++;
  } else if ("cell" in argument) {
    addRegister(layout, argument.cell);
    layout.cells.add(argument.cell);
  } else if ("words" in argument) {
    for (const word of argument.words) addNeeds(layout, word, true);
  } else {
    for (const text of argument) addText(layout, text);
  }
}

function layOut(program: Program): Layout {
  const layout: Layout = {
    texts: new Map(),
    text: "",
    registers: new Map(),
    cells: new Set(),
    stores: 0,
  };
  for (const { save, when, args } of program) {
    if (save !== undefined) addRegister(layout, save);
    if (when !== undefined) addRegister(layout, when);
    for (const argument of args) if (typeof argument !== "number") addNeeds(layout, argument, false);
  }
  checkCapacity("the registers of a program", layout.registers.size, NONE - 1);
  return layout;
}

/** Writes all texts. Returns the number of bytes. */
function writeTexts({ texts, text }: Layout, offset: number): number {
  reserve(offset + text.length * MOST_BYTES);
  const { written } = encoder.encodeInto(text, bytes.subarray(offset));
  if (written === text.length) return written;
  let at = 0;
  for (const one of texts.keys()) {
    texts.set(one, at);
    at += encoder.encode(one).length + 1;
  }
  return written;
}

function setHeader(field: Exclude<keyof typeof PROGRAM, "size">, value: number): void {
  words[PROGRAM[field] >> 2] = value;
}

/** Writes header, texts and registers; the steps and the memory that they point to follow. */
function begin(program: Program): Draft {
  const layout = layOut(program), count = program.length + layout.stores;
  const firstRegister = HEADER_SIZE + count * STEP_SIZE;
  const firstText = firstRegister + layout.registers.size * 8;
  const end = firstText + writeTexts(layout, firstText);
  bytes.fill(0, 0, firstText);
  for (const [name, place] of layout.registers) {
    if (!layout.cells.has(name)) setWord(firstRegister + place * 8, UNSET);
  }
  setHeader("magic", MAGIC);
  setHeader("stepCount", count);
  setHeader("steps", HEADER_SIZE);
  setHeader("registerCount", layout.registers.size);
  setHeader("registers", firstRegister);
  return { ...layout, firstRegister, firstText, end, steps: [], memory: new Map(), relocations: [] };
}

function placeOf({ registers }: Draft, name: string | undefined): number {
  return name === undefined ? NONE : registers.get(name) ?? NONE;
}

function claim(draft: Draft, size: number): number {
  const offset = (draft.end + 7) & ~7;
  draft.end = offset + size;
  reserve(draft.end);
  return offset;
}

// The same array in two steps is the same memory: one step can read data that another has written.
function copy(draft: Draft, source: Uint8Array): number {
  const known = draft.memory.get(source);
  if (known !== undefined) return known;
  const offset = claim(draft, source.length);
  bytes.set(source, offset);
  draft.memory.set(source, offset);
  return offset;
}

function writePointer({ relocations }: Draft, offset: number, target: number): void {
  setWord(offset, target);
  relocations.push(offset);
}

function writeStructure(draft: Draft, step: Step, fields: readonly Argument[]): number {
  const offset = claim(draft, fields.length * 8);
  bytes.fill(0, offset, draft.end);
  for (let i = 0; i < fields.length; i++) writeField(draft, step, fields[i] ?? null, offset + i * 8);
  return offset;
}

function writeField(draft: Draft, step: Step, field: Argument, at: number): void {
  if (field !== null && typeof field === "object" && "register" in field) return writeStore(draft, step, field, at);
  if (field !== null && typeof field === "object" && "cell" in field) {
    return writePointer(draft, at, draft.firstRegister + placeOf(draft, field.cell) * 8);
  }
  const { kind, value } = meaningOf(draft, step, field);
  if (kind === POINTER) writePointer(draft, at, Number(value));
  else setWord(at, value);
}

/** Writes a hidden step before the one whose structure holds a register. */
function writeStore(draft: Draft, step: Step, { register, plus, high }: Register, at: number): void {
  const slot = writeHead(draft, step, callNumber("store"));
  setHalf(slot + SAVE, NONE);
  writeArgument(slot, 0, { kind: POINTER, value: at });
  writeArgument(slot, 1, { kind: REGISTER, value: placeOf(draft, register) });
  writeArgument(slot, 2, { kind: IMMEDIATE, value: plus ?? 0 });
  if (high !== undefined) writeArgument(slot, 3, { kind: REGISTER, value: placeOf(draft, high) });
}

/** An encoded argument. */
interface Meaning {
  readonly kind: number;
  readonly value: number | bigint;
}

function meaningOf(draft: Draft, step: Step, argument: Argument): Meaning {
  if (argument === null) return { kind: IMMEDIATE, value: 0 };
  if (typeof argument === "string") {
    return { kind: POINTER, value: draft.firstText + (draft.texts.get(argument) ?? 0) };
  }
  if (typeof argument !== "object") return { kind: IMMEDIATE, value: argument };
  if ("value" in argument) return { kind: IMMEDIATE, value: argument.value };
  if ("register" in argument) return { kind: REGISTER, value: placeOf(draft, argument.register) };
  if ("cell" in argument) return { kind: REGISTER_POINTER, value: placeOf(draft, argument.cell) };
  if ("bytes" in argument) return { kind: POINTER, value: copy(draft, argument.bytes) };
  const fields = "words" in argument ? argument.words : [...argument, null];
  return { kind: POINTER, value: writeStructure(draft, step, fields) };
}

function writeHead(draft: Draft, step: Step, call: number): number {
  const slot = HEADER_SIZE + draft.steps.length * STEP_SIZE;
  draft.steps.push(step);
  words[slot + CALL >> 2] = call;
  setHalf(slot + SAVE, placeOf(draft, step.save));
  setHalf(slot + WHEN, placeOf(draft, step.when));
  bytes[slot + ACTOR] = step.actor === "caller" ? CALLER : CONTAINER;
  return slot;
}

function setHalf(offset: number, value: number): void {
  bytes[offset] = value;
  bytes[offset + 1] = value >> 8;
}

function writeArgument(slot: number, i: number, { kind, value }: Meaning): void {
  bytes[slot + KINDS + i] = kind;
  setWord(slot + ARGUMENTS + i * 8, value);
}

function writeStep(draft: Draft, step: Step): void {
  const { args, call, ignore } = step;
  if (args.length > MAX_ARGUMENTS) throw new CapacityError(`the arguments of ${call}`, args.length, MAX_ARGUMENTS);
  if (ignore && ignore.length > MAX_IGNORED) {
    throw new CapacityError(`the ignored errors of ${call}`, ignore.length, MAX_IGNORED);
  }
  // These come first: a structure may want hidden steps before this one.
  const meanings = args.map((argument) => typeof argument === "number" ? argument : meaningOf(draft, step, argument));
  const slot = writeHead(draft, step, callNumber(call));
  for (let i = 0; ignore && i < ignore.length; i++) {
    const name = ignore[i];
    if (name) setHalf(slot + IGNORED + i * 2, errnoNumber(name));
  }
  for (let i = 0; i < meanings.length; i++) {
    const meaning = meanings[i];
    if (typeof meaning === "number") setWord(slot + ARGUMENTS + i * 8, meaning);
    else if (meaning) writeArgument(slot, i, meaning);
  }
}

/**
 * Encodes `program` for this machine's architecture.
 *
 * @throws {TypeError} if a string holds a NUL.
 * @throws {CapacityError} if it has too many registers, or a step too many arguments or ignored errors.
 */
export function encode(program: Program): Encoded {
  const draft = begin(program);
  for (const step of program) writeStep(draft, step);
  const { steps, memory, relocations, firstRegister } = draft;
  const at = claim(draft, relocations.length * 4);
  words.set(relocations, at >> 2);
  setHeader("relocationCount", relocations.length);
  setHeader("relocations", at);
  const registers = new Map<string, number>();
  for (const [name, place] of draft.registers) registers.set(name, firstRegister + place * 8);
  return { bytes: bytes.subarray(0, draft.end), steps, registers, memory };
}
