/**
 * The loaded shim: its ELF file goes from base64 into a sealed memfd, and `dlopen` reads it from there. Nothing is written
 * to disk. The same memfd is executed as init, monitor, terminal pump and by exec.
 *
 * @module
 */

import type { PseudoCall } from "./program/model.ts";
import { PSEUDO, SHAPES } from "./shim/layout.ts";
import { type SyscallName, SYSCALLS } from "./program/syscalls.ts";

const MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_EXEC = 16;
// Seals of contents, size and further seals; from Linux 6.3 on also of the permission to be executed.
const F_ADD_SEALS = 1033, SEAL_ALL = 0xf, SEAL_EXEC = 0x20;
const FS_IOC_SETFLAGS = 0x40086602, FS_IMMUTABLE_FL = 0x10;
const LIBC_NAMES = ["libc.so.6", `libc.musl-${Deno.build.arch}.so.1`];

/** The column of this machine's architecture in tables of `[x86_64, aarch64]`. */
export const ARCHITECTURE = Deno.build.arch === "aarch64" ? 1 : 0;

const encoder = new TextEncoder();

/** Encodes `text` as a NUL-terminated string. Throws `TypeError` if it holds a NUL itself. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) {
    throw new TypeError(`invalid string ${JSON.stringify(text)}: it holds a NUL character`);
  }
  return encoder.encode(text + "\0");
}

/** Returns the number of a system call on this machine's architecture, or of a pseudo-call of the shim. */
export function callNumber(name: SyscallName | PseudoCall): number {
  return name in PSEUDO ? PSEUDO[name as PseudoCall] : SYSCALLS[name as SyscallName][ARCHITECTURE];
}

// Numbers are passed in structures (of which a small one is passed as what is in it): functions without one get machine
// code of their own from Deno when they are loaded, which takes longer than all calls of most commands.
const LIBC = { memfd_create: { parameters: ["buffer", { struct: ["u32"] }], result: "i32" } } as const;

function openLibc(names: readonly string[]): Deno.DynamicLibrary<typeof LIBC> {
  const [name = "", ...others] = names;
  try {
    return Deno.dlopen(name, LIBC);
  } catch (error) {
    if (others.length === 0) throw error;
    return openLibc(others);
  }
}

function createMemoryFile(name: string): number {
  const libc = openLibc(LIBC_NAMES);
  const path = cString(name);
  // Kernels before 6.3 do not know MFD_EXEC; theirs are executable anyway.
  const create = (how: number): number => libc.symbols.memfd_create(path, new Uint8Array(Uint32Array.of(how).buffer));
  let fd = create(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (fd < 0) fd = create(MFD_CLOEXEC | MFD_ALLOW_SEALING);
  libc.close();
  if (fd < 0) throw new Error("cannot load the shim: memfd_create failed");
  return fd;
}

function fill(fd: number, bytes: Uint8Array): void {
  try {
    Deno.writeFileSync(`/proc/self/fd/${fd}`, bytes, { create: false });
  } catch (cause) {
    throw new Error("cannot load the shim: no memory", { cause });
  }
}

const { ELF } = await (ARCHITECTURE ? import("./shim/aarch64.ts") : import("./shim/x86_64.ts"));

/** The descriptor of the sealed memfd that holds the shim. */
export const shimFd: number = createMemoryFile("sauropod");
fill(shimFd, Uint8Array.fromBase64(ELF));

type Buffer = Uint8Array<ArrayBuffer> | BigInt64Array<ArrayBuffer> | BigUint64Array<ArrayBuffer>;

const INTEGERS = ["i32", "i32", "i32", "i32", "i32", "i32"] as const;
const { sauropod_call, sauropod_wait: wait } = Deno.dlopen(`/proc/self/fd/${shimFd}`, {
  sauropod_call: { parameters: [{ struct: INTEGERS }, "buffer", "buffer"], result: "i32" },
  sauropod_wait: { parameters: [...INTEGERS, "buffer", "buffer"], result: "i32", nonblocking: true },
}).symbols;

const integers = new Int32Array(INTEGERS.length), structure = new Uint8Array(integers.buffer);

function call(
  nr: number,
  shape: number,
  a: number,
  b: number,
  c: number,
  d: number,
  p: Buffer | null,
  q: Buffer | null,
): number {
  integers[0] = nr;
  integers[1] = shape;
  integers[2] = a;
  integers[3] = b;
  integers[4] = c;
  integers[5] = d;
  return sauropod_call(structure, p, q);
}

const { I, B, IB, IIB, IIIB, IBB, BIB, IBIB, IBIIB, BB } = SHAPES;

/**
 * The shim's functions. `run` interprets an encoded program, `appendToEach` appends lines to the files of paths with their
 * NULs, `divert` makes one signal another. The others make one system call, and are named after the kinds of its
 * arguments: `i` for an integer (32 bits), `b` for a buffer. All but `wait` are synchronous; `wait` blocks a thread of
 * Deno's pool. All return `-errno` on failure.
 */
export const shim = {
  run: (program: Uint8Array<ArrayBuffer>): number => call(PSEUDO.run, 0, program.length, 0, 0, 0, program, null),
  appendToEach: (paths: Buffer, lines: Buffer): number =>
    call(PSEUDO.append, 0, paths.byteLength, lines.byteLength, 0, 0, paths, lines),
  divert: (signal: number): number => call(PSEUDO.divert, 0, signal, 0, 0, 0, null, null),
  i: (name: SyscallName, a: number, b = 0, c = 0, d = 0): number => call(callNumber(name), I, a, b, c, d, null, null),
  b: (name: SyscallName, p: Buffer, a: number): number => call(callNumber(name), B, a, 0, 0, 0, p, null),
  ib: (name: SyscallName, a: number, p: Buffer, b = 0, c = 0, d = 0): number =>
    call(callNumber(name), IB, a, b, c, d, p, null),
  iib: (name: SyscallName, a: number, b: number, p: Buffer, c = 0): number =>
    call(callNumber(name), IIB, a, b, c, 0, p, null),
  iiib: (name: SyscallName, a: number, b: number, c: number, p: Buffer, d = 0): number =>
    call(callNumber(name), IIIB, a, b, c, d, p, null),
  ibb: (name: SyscallName, a: number, p: Buffer, q: Buffer, b = 0, c = 0): number =>
    call(callNumber(name), IBB, a, b, c, 0, p, q),
  bib: (name: SyscallName, p: Buffer, a: number, q: Buffer): number => call(callNumber(name), BIB, a, 0, 0, 0, p, q),
  ibib: (name: SyscallName, a: number, p: Buffer, b: number, q: Buffer, c = 0): number =>
    call(callNumber(name), IBIB, a, b, c, 0, p, q),
  ibiib: (name: SyscallName, a: number, p: Buffer, b: number, c: number, q: Buffer): number =>
    call(callNumber(name), IBIIB, a, b, c, 0, p, q),
  bb: (name: SyscallName, p: Buffer, q: Buffer): number => call(callNumber(name), BB, 0, 0, 0, 0, p, q),
  copyRange: (from: number, to: number, length: number): number =>
    call(callNumber("copy_file_range"), IBIB, from, to, length, 0, null, null),
  wait: (name: SyscallName | PseudoCall, a: number, p: Buffer, b = 0, c = 0, d = 0): Promise<number> =>
    wait(callNumber(name), IB, a | 0, b | 0, c | 0, d | 0, p, null),
};

if (shim.i("fcntl", shimFd, F_ADD_SEALS, SEAL_ALL | SEAL_EXEC) < 0) shim.i("fcntl", shimFd, F_ADD_SEALS, SEAL_ALL);
// Seals do not protect owner and access control list, by which root of a container could make it unusable. Linux 6.6 and later.
shim.iib("ioctl", shimFd, FS_IOC_SETFLAGS, new Uint8Array(Uint32Array.of(FS_IMMUTABLE_FL).buffer));
