/**
 * Hosted build of the shim under AddressSanitizer and UndefinedBehaviorSanitizer, as a process that answers requests.
 *
 * @module
 */

import assert from "node:assert/strict";
import * as call from "../../ffi/program/calls.ts";
import { encode } from "../../ffi/program/encode.ts";
import { execute, type Outcome, outcomeOf } from "../../ffi/program/execute.ts";
import { flags } from "../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt, read, writeAll } from "../../ffi/fs/fs.ts";
import { callerStep, type Program, step } from "../../ffi/program/model.ts";
import { cString, shim } from "../../ffi/native.ts";
import { pipe, reapNow } from "../../ffi/process/process.ts";
import { PROJECT } from "./world.ts";

const COMPILER = [
  "-std=gnu17 -O1 -g -Wall -Wextra -Werror -ffreestanding -fno-omit-frame-pointer",
  "-fsanitize=address,undefined -fno-sanitize-recover=all -I.",
].flatMap((line) => line.split(" "));
const MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, F_ADD_SEALS = 1033, SEAL_ALL = 0xf;
const ENVIRONMENT = ["ASAN_OPTIONS=detect_leaks=0", "UBSAN_OPTIONS=print_stacktrace=1"];

let memfd: number | undefined;

/** Compiles the hosted shim on the first call. Returns a sealed memfd of it, which programs may execute. */
export function hostedFd(): number {
  if (memfd !== undefined) return memfd;
  const directory = Deno.makeTempDirSync({ prefix: "sauropod-hosted-" });
  try {
    const sources = [...Deno.readDirSync(`${PROJECT}/ffi/shim`)].map(({ name }) => name)
      .filter((name) => name.endsWith(".c") && name !== "start.c");
    const { success, stderr } = new Deno.Command("gcc", {
      args: [...COMPILER, "-o", `${directory}/hosted`, `${PROJECT}/tests/tools/hosted.c`, ...sources],
      cwd: `${PROJECT}/ffi/shim`,
    }).outputSync();
    assert(success, new TextDecoder().decode(stderr));
    memfd = shim.b("memfd_create", cString("hosted"), MFD_CLOEXEC | MFD_ALLOW_SEALING);
    Deno.writeFileSync(`/proc/self/fd/${memfd}`, Deno.readFileSync(`${directory}/hosted`), { create: false });
    shim.i("fcntl", memfd, F_ADD_SEALS, SEAL_ALL);
    return memfd;
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

/** Starts the hosted shim with `args`, its standard streams and other descriptors to inherit. Returns its pidfd and pid. */
export function startHosted(
  args: readonly string[],
  streams: readonly [number, number, number],
  inherited: readonly number[] = [],
): { readonly pidfd: number; readonly pid: number } {
  const outcome = execute([
    callerStep("start the hosted shim", call.clone3(flags("CLONE", "PIDFD"), "pidfd"), { save: "pid" }),
    step("reset all signals", call.defaultSignals),
    step("set the umask", call.umask(0o22)),
    ...streams.map((fd, i) => step("connect a standard stream", call.dup(fd, i))),
    step("close all other descriptors on execution", call.closeOnExecFrom(3)),
    ...inherited.map((fd) => step("except those to inherit", call.stayOpen(fd))),
    step("unblock signals", call.unblockSignals),
    step("execute it", call.execveFd(hostedFd(), args, ENVIRONMENT)),
  ], ["pidfd"]);
  assert(outcome.ok, outcome.ok ? "" : outcome.step.label);
  return { pidfd: outcome.registers.get("pidfd") ?? -1, pid: outcome.registers.get("pid") ?? -1 };
}

/** The requests of `tests/tools/hosted.c`. */
const REQUESTS = ["run", "validate", "load-memfd", "load-pipe", "validate-job", "write-records"] as const;

/** A hosted shim that answers requests. Its disposal throws if a sanitizer has reported something. */
export class Hosted implements Disposable {
  /** Its process. */
  readonly pid: number;
  readonly #pidfd: number;
  readonly #input: number;
  readonly #output: number;
  readonly #errors: string;

  /** Starts it. */
  constructor() {
    const [input, ours] = pipe(), [theirs, output] = pipe();
    this.#errors = Deno.makeTempFileSync({ prefix: "sauropod-hosted-" });
    const errors = openAt(AT_FDCWD, this.#errors, flags("O", "WRONLY", "APPEND"));
    this.#input = ours;
    this.#output = theirs;
    const { pid, pidfd } = startHosted(["sauropod-hosted"], [input, output, errors]);
    [this.pid, this.#pidfd] = [pid, pidfd];
    for (const fd of [input, output, errors]) close(fd);
  }

  /** Makes a request. Returns its result and the bytes afterwards. */
  request(kind: typeof REQUESTS[number], bytes: Uint8Array): { result: number; bytes: Uint8Array<ArrayBuffer> } {
    writeAll(this.#input, new Uint8Array(Int32Array.of(REQUESTS.indexOf(kind), bytes.length).buffer));
    writeAll(this.#input, bytes.slice());
    const [result = 0, size = 0] = new Int32Array(this.#read(8).buffer);
    return { result, bytes: this.#read(size) };
  }

  /** Runs a program, as `execute` does. */
  execute(program: Program): Outcome {
    const encoded = encode(program);
    return outcomeOf(encoded, this.request("run", encoded.bytes).bytes);
  }

  #read(size: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(size);
    for (let length = 0; length < size;) {
      const n = read(this.#output, bytes.subarray(length));
      assert(n > 0, Deno.readTextFileSync(this.#errors));
      length += n;
    }
    return bytes;
  }

  [Symbol.dispose](): void {
    close(this.#input);
    const ending = reapNow(this.#pidfd);
    close(this.#output);
    const reported = Deno.readTextFileSync(this.#errors);
    Deno.removeSync(this.#errors);
    assert.deepEqual({ ...ending, reported }, { code: 0, reported: "" });
  }
}
