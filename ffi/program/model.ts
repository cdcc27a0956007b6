/**
 * Programs of system calls as data: the steps that create a container, in order, each run by the process that it names.
 *
 * @module
 */

import type { ErrnoName } from "../errno.ts";
import type { Flags } from "./flags.ts";
import type { SyscallName } from "./syscalls.ts";

/** The process that runs a step: the one that creates the container, or the container's first. */
export type Actor = "caller" | "container";

/** The value of a register: the result of the step that saved it. */
export interface Register {
  /** The register's name. */
  readonly register: string;
  /** Is added to the value; only within {@linkcode Words}, for structures with several fields in a word. Default: 0. */
  readonly plus?: bigint;
  /** The register for the upper 32 bits; only within {@linkcode Words}. Default: none. */
  readonly high?: string;
}

/** A pointer to a register, for system calls that write a result through one. */
export interface Cell {
  /** The register's name. */
  readonly cell: string;
}

/** A pointer to bytes within the program; steps with the same array share the memory. */
export interface Bytes {
  /** The bytes. */
  readonly bytes: Uint8Array;
  /** The text that `explain` prints. Default: the number of bytes. */
  readonly text?: string;
}

/** A pointer to 64-bit words, which can be arguments themselves: most structures of the kernel. */
export interface Words {
  /** The words, in order. */
  readonly words: readonly Argument[];
  /** The text that `explain` prints. Default: the words. */
  readonly text?: string;
}

/** An argument of a call; strings and arrays of strings are passed by pointer. */
export type Argument =
  | number
  | bigint
  | string
  | null
  | readonly string[]
  | Flags
  | Register
  | Cell
  | Bytes
  | Words;

/** A descriptor: its number, or the register that holds it. */
export type Descriptor = number | Register;

/** A function of the shim itself (ffi/shim/program.c). */
export type PseudoCall =
  | "store"
  | "expect"
  | "default_signals"
  | "drop_bounding"
  | "netlink"
  | "go_on_in_child"
  | "remove_tree"
  | "remove_group"
  | "open_target";

/** A system call and its arguments. */
export interface Call {
  /** Its name. */
  readonly call: SyscallName | PseudoCall;
  /** Its arguments, at most six. */
  readonly args: readonly Argument[];
}

/** One step of a program. */
export interface Step extends Call {
  /** Its purpose, as `explain` and errors print it: `mount proc on /proc`. */
  readonly label: string;
  /** The process that runs it. */
  readonly actor: Actor;
  /** The register that receives the result. Default: none. */
  readonly save?: string;
  /** Runs the step only if this register holds no error. Default: always. */
  readonly when?: string;
  /** Ignored errors, at most four. Default: none. */
  readonly ignore?: readonly ErrnoName[];
}

/** The optional properties of a step. */
export type StepOptions = Pick<Step, "save" | "when" | "ignore">;

/** Steps in execution order. */
export type Program = readonly Step[];

// No spreads: with named fields all of the more than a hundred steps have one hidden class.
function stepOf(label: string, actor: Actor, { call, args }: Call, { save, when, ignore }: StepOptions): Step {
  return { label, actor, call, args, save, when, ignore };
}

const PLAIN: StepOptions = {};

/** Creates a step of the container's process. */
export function step(label: string, call: Call, options: StepOptions = PLAIN): Step {
  return stepOf(label, "container", call, options);
}

/** Creates a step of the calling process. */
export function callerStep(label: string, call: Call, options: StepOptions = PLAIN): Step {
  return stepOf(label, "caller", call, options);
}

/** Returns the value of the register `name` as an argument. */
export function register(name: string): Register {
  return { register: name };
}

/** Returns a system call with its arguments. */
export function call(name: SyscallName, ...args: Argument[]): Call {
  return { call: name, args };
}

const encoder = new TextEncoder();

/** Returns a text and its length in bytes. */
export function counted(text: string): [string, number] {
  return [text, encoder.encode(text).length];
}

/** Returns `size` bytes with 32-bit values at offsets: the kernel's smaller structures. */
export function little(size: number, values: readonly (readonly [offset: number, value: number])[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(size));
  for (const [offset, value] of values) view.setUint32(offset, value, true);
  return new Uint8Array(view.buffer);
}
