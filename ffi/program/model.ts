/**
 * A program of system calls as data: the steps that make a container, in order, each run by the process it names.
 *
 * @module
 */

import type { ErrnoName } from "../errno.ts";
import type { Flags } from "./flags.ts";
import type { SyscallName } from "./syscalls.ts";

/** Which process runs a step: the one that asked for the container, or the container's own. */
export type Actor = "caller" | "container";

/** The value of a register: what the step that saved it returned. */
export interface Register {
  /** The register's name. */
  readonly register: string;
  /** Added to the value, inside of {@linkcode Words} only: for structures that pack more into one word. Default: 0. */
  readonly plus?: bigint;
  /** The register whose value is in the upper 32 bits, inside of {@linkcode Words} only. Default: none. */
  readonly high?: string;
}

/** A pointer to a register, for system calls that write a result through one. */
export interface Cell {
  /** The register's name. */
  readonly cell: string;
}

/** A pointer to bytes that are part of the program; the same array in two steps is the same memory. */
export interface Bytes {
  /** The bytes. */
  readonly bytes: Uint8Array;
  /** What a person reads instead. Default: their number. */
  readonly text?: string;
}

/** A pointer to 64-bit words, which may be arguments themselves: most of the kernel's structures. */
export interface Words {
  /** The words, in order. */
  readonly words: readonly Argument[];
  /** What a person reads instead. Default: the words. */
  readonly text?: string;
}

/** Anything that a step can pass: integers, strings and arrays of strings (by pointer), and the kinds above. */
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

/** What the shim does itself, beside system calls. */
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
  /** What it is for, to a person: `mount proc on /proc`. */
  readonly label: string;
  /** Which process runs it. */
  readonly actor: Actor;
  /** The register that keeps the result. Default: none. */
  readonly save?: string;
  /** Run only if this register holds no error. Default: always. */
  readonly when?: string;
  /** Errors that are no failure, at most four. Default: none. */
  readonly ignore?: readonly ErrnoName[];
}

/** How a step differs from a plain one. */
export type StepOptions = Pick<Step, "save" | "when" | "ignore">;

/** Steps in the order in which they run. */
export type Program = readonly Step[];

// Named fields instead of spreads: every step has the same shape, and a program has more than a hundred.
function stepOf(label: string, actor: Actor, { call, args }: Call, { save, when, ignore }: StepOptions): Step {
  return { label, actor, call, args, save, when, ignore };
}

const PLAIN: StepOptions = {};

/** A step that the container's process runs. */
export function step(label: string, call: Call, options: StepOptions = PLAIN): Step {
  return stepOf(label, "container", call, options);
}

/** A step that the calling process runs. */
export function callerStep(label: string, call: Call, options: StepOptions = PLAIN): Step {
  return stepOf(label, "caller", call, options);
}

/** The value of the register `name`. */
export function register(name: string): Register {
  return { register: name };
}
