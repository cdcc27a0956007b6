/**
 * Loads the shim: its ELF file goes from base64 into a sealed memfd, and `dlopen` reads it from there. Nothing is
 * written to disk. The same descriptor is what a container executes as its init or terminal pump.
 *
 * @module
 */

import * as aarch64 from "./shim/aarch64.ts";
import * as x86_64 from "./shim/x86_64.ts";
import { type SyscallName, SYSCALLS } from "./syscalls.ts";

const MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_EXEC = 16;
const F_ADD_SEALS = 1033, SEAL_ALL = 0xf;
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

/** The number of a system call on this machine's architecture. */
export function syscallNumber(name: SyscallName): number {
  return SYSCALLS[name][ARCHITECTURE];
}

function openLibc() {
  let failure: unknown;
  for (const name of LIBC_NAMES) {
    try {
      return Deno.dlopen(name, {
        memfd_create: { parameters: ["buffer", "u32"], result: "i32" },
        write: { parameters: ["i32", "buffer", "usize"], result: "isize" },
        fcntl: { parameters: ["i32", "i32", "i32"], result: "i32" },
      });
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

function memoryFile(name: string, bytes: Uint8Array<ArrayBuffer>): number {
  const libc = openLibc();
  const path = cString(name);
  let fd = libc.symbols.memfd_create(path, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
  // Kernels before 6.3 do not know MFD_EXEC; theirs are executable anyway.
  if (fd < 0) fd = libc.symbols.memfd_create(path, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0 || Number(libc.symbols.write(fd, bytes, BigInt(bytes.length))) !== bytes.length) {
    throw new Error("the shim cannot be loaded: memfd_create or write failed");
  }
  libc.symbols.fcntl(fd, F_ADD_SEALS, SEAL_ALL);
  libc.close();
  return fd;
}

const SHIM = ARCHITECTURE ? aarch64.ELF : x86_64.ELF;

/** The descriptor of the sealed memfd that holds the shim. */
export const shimFd: number = memoryFile("sauropod", Uint8Array.fromBase64(SHIM));

const library = Deno.dlopen(`/proc/self/fd/${shimFd}`, {
  run: { name: "sauropod_run", parameters: ["buffer"], result: "i32" },
  i: { name: "sauropod_i", parameters: ["i32", "i32", "i32", "i32", "i32", "i32", "i32"], result: "i32" },
  b: { name: "sauropod_b", parameters: ["i32", "buffer", "i32", "i32"], result: "i32" },
  ib: { name: "sauropod_ib", parameters: ["i32", "i32", "buffer", "i32", "i32", "i32"], result: "i32" },
  iib: { name: "sauropod_iib", parameters: ["i32", "i32", "i32", "buffer", "i32", "i32"], result: "i32" },
  iiib: { name: "sauropod_iiib", parameters: ["i32", "i32", "i32", "i32", "buffer"], result: "i32" },
  ibb: { name: "sauropod_ibb", parameters: ["i32", "i32", "buffer", "buffer", "i32", "i32"], result: "i32" },
  bib: { name: "sauropod_bib", parameters: ["i32", "buffer", "i32", "buffer"], result: "i32" },
  ibib: { name: "sauropod_ibib", parameters: ["i32", "i32", "buffer", "i32", "buffer", "i32"], result: "i32" },
  ibiib: { name: "sauropod_ibiib", parameters: ["i32", "i32", "buffer", "i32", "i32", "buffer"], result: "i32" },
  wait: {
    name: "sauropod_ib",
    parameters: ["i32", "i32", "buffer", "i32", "i32", "i32"],
    result: "i32",
    nonblocking: true,
  },
});

/**
 * The shim's functions. `run` interprets an encoded program. The others are one system call each, named after the
 * kinds of their arguments (`i` integer, `b` buffer); all but `wait` are synchronous, and all return `-errno` on failure.
 */
export const shim = library.symbols;
