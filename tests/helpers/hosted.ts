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
import { close, read, writeAll } from "../../ffi/fs/fs.ts";
import { callerStep, type Program, step } from "../../ffi/program/model.ts";
import { cString, shim } from "../../ffi/native.ts";
import { pipe, reapNow } from "../../ffi/process/process.ts";
import { PROJECT } from "./project.ts";

const COMPILER = [
  "-std=gnu17 -O1 -g -Wall -Wextra -Werror -ffreestanding -fno-omit-frame-pointer",
  "-fsanitize=address,undefined -fno-sanitize-recover=all -I.",
].flatMap((line) => line.split(" "));
const MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, F_ADD_SEALS = 1033, SEAL_ALL = 0xf;

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

/** A hosted shim to start. */
export interface HostedOptions {
  /** Its arguments, of which the first names one of the shim's modes. */
  readonly args: readonly string[];
  /** Its standard input and output. */
  readonly streams: readonly [number, number];
  /** Other descriptors that it inherits. */
  readonly inherited?: readonly number[];
  /** The directory for reports of the sanitizers, of this process and those that it starts. */
  readonly reports: string;
}

/** Starts the hosted shim. Returns its pidfd, which is to be reaped, and its pid. */
export function startHosted(
  { args, streams, inherited = [], reports }: HostedOptions,
): { readonly pidfd: number; readonly pid: number } {
  const options = `log_path=${reports}/report:detect_leaks=0:print_stacktrace=1`;
  const outcome = execute([
    callerStep("start the hosted shim", call.clone3(flags("CLONE", "PIDFD"), "pidfd"), { save: "pid" }),
    step("reset all signals", call.defaultSignals),
    step("set the umask", call.umask(0o22)),
    ...streams.map((fd, i) => step("connect a standard stream", call.dup(fd, i))),
    step("close all other descriptors on execution", call.closeOnExecFrom(3)),
    ...inherited.map((fd) => step("except those to inherit", call.stayOpen(fd))),
    step("unblock signals", call.unblockSignals),
    step("execute it", call.execveFd(hostedFd(), args, [`ASAN_OPTIONS=${options}`, `UBSAN_OPTIONS=${options}`])),
  ], ["pidfd"]);
  assert(outcome.ok, outcome.ok ? "" : outcome.step.label);
  return { pidfd: outcome.registers.get("pidfd") ?? -1, pid: outcome.registers.get("pid") ?? -1 };
}

/** Asserts that no sanitizer has reported anything, and removes the directory for reports. */
export function assertNoReports(reports: string): void {
  const texts = [...Deno.readDirSync(reports)].map(({ name }) => Deno.readTextFileSync(`${reports}/${name}`));
  Deno.removeSync(reports, { recursive: true });
  assert.equal(texts.join("\n"), "");
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
  readonly #reports = Deno.makeTempDirSync({ prefix: "sauropod-reports-" });

  /** Starts it; `inherited` are descriptors that it gets. */
  constructor(inherited: readonly number[] = []) {
    const [input, ours] = pipe(), [theirs, output] = pipe();
    this.#input = ours;
    this.#output = theirs;
    const { pid, pidfd } = startHosted({
      args: ["sauropod-hosted"],
      streams: [input, output],
      inherited,
      reports: this.#reports,
    });
    [this.pid, this.#pidfd] = [pid, pidfd];
    close(input);
    close(output);
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
      if (n === 0) assertNoReports(this.#reports);
      assert(n > 0, "the hosted shim has exited");
      length += n;
    }
    return bytes;
  }

  [Symbol.dispose](): void {
    close(this.#input);
    const ending = reapNow(this.#pidfd);
    close(this.#output);
    assertNoReports(this.#reports);
    assert.deepEqual(ending, { code: 0 });
  }
}
