/**
 * Loads the shim: its ELF file goes from base64 into a sealed memfd, and `dlopen` reads it from there. Nothing is
 * written to disk. The same descriptor is what a container executes as its init or terminal pump.
 *
 * @module
 */

import type { PseudoCall } from "./program.ts";
import { type SyscallName, SYSCALLS } from "./syscalls.ts";

const MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_EXEC = 16;
// Contents, size and further seals; and, from Linux 6.3 on, the permission to be executed.
const F_ADD_SEALS = 1033, SEAL_ALL = 0xf, SEAL_EXEC = 0x20;
const LIBC_NAMES = ["libc.so.6", `libc.musl-${Deno.build.arch}.so.1`];

/** The column of this machine's architecture in tables of `[x86_64, aarch64]`. */
export const ARCHITECTURE = Deno.build.arch === "aarch64" ? 1 : 0;

const encoder = new TextEncoder();

/** `text` as the NUL-terminated bytes that C wants. Throws `TypeError` if it holds a NUL itself. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  if (text.includes("\0")) {
    throw new TypeError(`a NUL character cannot be passed to the kernel: ${JSON.stringify(text)}`);
  }
  return encoder.encode(text + "\0");
}

// enum pseudo of shim/program.h
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
const RUN = (1 << 24) + 8, APPEND = RUN + 1;

/** The number of a system call on this machine's architecture, or of what the shim does itself. */
export function callNumber(name: SyscallName | PseudoCall): number {
  return name in PSEUDO ? PSEUDO[name as PseudoCall] : SYSCALLS[name as SyscallName][ARCHITECTURE];
}

function openLibc(names: readonly string[]): Deno.DynamicLibrary<{
  memfd_create: { parameters: ["buffer", "u32"]; result: "i32" };
}> {
  const [name = "", ...others] = names;
  try {
    return Deno.dlopen(name, { memfd_create: { parameters: ["buffer", "u32"], result: "i32" } });
  } catch (error) {
    if (others.length === 0) throw error;
    return openLibc(others);
  }
}

function createMemoryFile(name: string): number {
  const libc = openLibc(LIBC_NAMES);
  const path = cString(name);
  // Kernels before 6.3 do not know MFD_EXEC; theirs are executable anyway.
  let fd = libc.symbols.memfd_create(path, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  if (fd < 0) fd = libc.symbols.memfd_create(path, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  libc.close();
  if (fd < 0) throw new Error("the shim cannot be loaded: memfd_create failed");
  return fd;
}

function fill(fd: number, bytes: Uint8Array): void {
  try {
    Deno.writeFileSync(`/proc/self/fd/${fd}`, bytes, { create: false });
  } catch (cause) {
    throw new Error("the shim cannot be loaded: no memory for it", { cause });
  }
}

const { ELF } = await (ARCHITECTURE ? import("./shim/aarch64.ts") : import("./shim/x86_64.ts"));

/** The descriptor of the sealed memfd that holds the shim. */
export const shimFd: number = createMemoryFile("sauropod");
fill(shimFd, Uint8Array.fromBase64(ELF));

const parameters = ["i32", "i32", "i32", "i32", "i32", "i32", "buffer", "buffer"] as const;
const { call, wait } = Deno.dlopen(`/proc/self/fd/${shimFd}`, {
  call: { name: "sauropod_call", parameters, result: "i32" },
  wait: { name: "sauropod_call", parameters, result: "i32", nonblocking: true },
}).symbols;

type Buffer = Uint8Array<ArrayBuffer> | BigInt64Array<ArrayBuffer> | BigUint64Array<ArrayBuffer>;

// enum shape of shim/shim.c
const I = 0, B = 1, IB = 2, IIB = 3, IIIB = 4, IBB = 5, BIB = 6, IBIB = 7, IBIIB = 8, BB = 9;

/**
 * The shim's functions. `run` interprets an encoded program, `appendToEach` appends lines to the files of paths with their
 * NULs. The others make one system call, and are named after the kinds of its arguments: `i` for an integer (32 bits), `b`
 * for a buffer. All but `wait` are synchronous; `wait` blocks a thread of Deno's pool. All return `-errno` on failure.
 */
export const shim = {
  run: (program: Uint8Array<ArrayBuffer>): number => call(RUN, 0, 0, 0, 0, 0, program, null),
  appendToEach: (paths: Buffer, lines: Buffer): number =>
    call(APPEND, 0, paths.byteLength, lines.byteLength, 0, 0, paths, lines),
  i: (name: SyscallName, a: number, b = 0, c = 0, d = 0): number =>
    call(callNumber(name), I, a | 0, b | 0, c | 0, d | 0, null, null),
  b: (name: SyscallName, p: Buffer, a: number): number => call(callNumber(name), B, a | 0, 0, 0, 0, p, null),
  ib: (name: SyscallName, a: number, p: Buffer, b = 0, c = 0, d = 0): number =>
    call(callNumber(name), IB, a | 0, b | 0, c | 0, d | 0, p, null),
  iib: (name: SyscallName, a: number, b: number, p: Buffer, c = 0): number =>
    call(callNumber(name), IIB, a | 0, b | 0, c | 0, 0, p, null),
  iiib: (name: SyscallName, a: number, b: number, c: number, p: Buffer, d = 0): number =>
    call(callNumber(name), IIIB, a | 0, b | 0, c | 0, d | 0, p, null),
  ibb: (name: SyscallName, a: number, p: Buffer, q: Buffer, b = 0, c = 0): number =>
    call(callNumber(name), IBB, a | 0, b | 0, c | 0, 0, p, q),
  bib: (name: SyscallName, p: Buffer, a: number, q: Buffer): number =>
    call(callNumber(name), BIB, a | 0, 0, 0, 0, p, q),
  ibib: (name: SyscallName, a: number, p: Buffer, b: number, q: Buffer, c = 0): number =>
    call(callNumber(name), IBIB, a | 0, b | 0, c | 0, 0, p, q),
  ibiib: (name: SyscallName, a: number, p: Buffer, b: number, c: number, q: Buffer): number =>
    call(callNumber(name), IBIIB, a | 0, b | 0, c | 0, 0, p, q),
  bb: (name: SyscallName, p: Buffer, q: Buffer): number => call(callNumber(name), BB, 0, 0, 0, 0, p, q),
  copyRange: (from: number, to: number, length: number): number =>
    call(callNumber("copy_file_range"), IBIB, from, to, length, 0, null, null),
  wait: (name: SyscallName | PseudoCall, a: number, p: Buffer, b = 0, c = 0, d = 0): Promise<number> =>
    wait(callNumber(name), IB, a | 0, b | 0, c | 0, d | 0, p, null),
};

if (shim.i("fcntl", shimFd, F_ADD_SEALS, SEAL_ALL | SEAL_EXEC) < 0) shim.i("fcntl", shimFd, F_ADD_SEALS, SEAL_ALL);
