/** What the shim's interpreter does with programs. */

import assert from "node:assert/strict";
import * as call from "../../ffi/program/calls.ts";
import { encode } from "../../ffi/program/encode.ts";
import { execute, shimFd } from "../../ffi/program/execute.ts";
import { flags } from "../../ffi/program/flags.ts";
import { type Argument, type Call, callerStep, type Program, register, step } from "../../ffi/program/model.ts";
import { formatCall } from "../../lib/program/explain.ts";
import { randomFrom } from "../helpers/random.ts";

function pseudo(name: Call["call"], ...args: Argument[]): Call {
  return { call: name, args };
}

function here(call: Call, options: { save?: string; when?: string; ignore?: readonly ("ENOENT" | "EBADF")[] } = {}) {
  return callerStep("", call, options);
}

const missing = call.open("/no/such/file", flags("O", "RDONLY"));

Deno.test("a register keeps what a step returned, errors included, and is -EBADF before", () => {
  const outcome = execute([
    here(call.getpid, { save: "pid" }),
    here(missing, { save: "missing", ignore: ["ENOENT"] }),
    here(call.getpid, { save: "never", when: "missing" }),
  ]);
  assert(outcome.ok);
  assert.deepEqual(Object.fromEntries(outcome.registers), { pid: Deno.pid, missing: -2, never: -9 });
});

Deno.test("execute: a step with a condition runs only if its register holds no error", () => {
  const outcome = execute([
    here(call.getpid, { save: "yes" }),
    here(missing, { save: "no", ignore: ["ENOENT"] }),
    here(call.getpid, { save: "after-yes", when: "yes" }),
    here(missing, { when: "no" }),
    here(call.getpid, { save: "last" }),
  ]);
  assert(outcome.ok);
  assert.equal(outcome.registers.get("after-yes"), Deno.pid);
  assert.equal(outcome.registers.get("last"), Deno.pid);
});

Deno.test("execute: the first failing step is reported with its errno, and none runs after it", () => {
  const program = [
    here(call.getpid, { save: "before" }),
    callerStep("open what is missing", missing, { save: "fd", ignore: ["EBADF"] }),
    here(call.getpid, { save: "after" }),
  ];
  const outcome = execute(program);
  assert(!outcome.ok);
  assert.deepEqual([outcome.step.label, outcome.errno], ["open what is missing", 2]);
  assert.deepEqual([outcome.registers.get("fd"), outcome.registers.get("after")], [-2, -9]);
});

Deno.test("execute: a failure is reported for the program's own step although structures take hidden ones", () => {
  const words = { words: [register("pid"), register("pid"), register("pid")] };
  const outcome = execute([
    here(call.getpid, { save: "pid" }),
    callerStep("the one with a structure", pseudo("expect", words, 0n, 1n, 7)),
  ]);
  assert(!outcome.ok);
  assert.deepEqual([outcome.step.label, outcome.errno], ["the one with a structure", 7]);
});

Deno.test("execute: structures hold immediates, registers with what is added, and pointers", () => {
  const pid = BigInt(Deno.pid);
  const all = 0xffff_ffff_ffff_ffffn;
  const wanted: [Argument, bigint][] = [[42, 42n], [all, all], [register("pid"), pid], [
    { register: "pid", plus: 1n << 32n },
    pid + (1n << 32n),
  ]];
  for (const [argument, value] of wanted) {
    const outcome = execute([
      here(call.getpid, { save: "pid" }),
      here(pseudo("expect", { words: [argument] }, all, value, 33)),
    ]);
    assert(outcome.ok, String(value));
  }
});

Deno.test("execute: store writes where another step reads, and the same bytes in two steps are the same memory", () => {
  const memory = { bytes: new Uint8Array(16) };
  const program = [
    here(pseudo("store", memory, 0x1234n, 1n)),
    here(pseudo("expect", memory, 0xffffn, 0x1235n, 5)),
    here(pseudo("expect", { bytes: new Uint8Array(16) }, 0xffffn, 0n, 6)),
    here(pseudo("expect", memory, 0xffffn, 0x1234n, 7)),
  ];
  const outcome = execute(program);
  assert(!outcome.ok);
  assert.equal(outcome.errno, 7);
  assert.deepEqual(memory.bytes, new Uint8Array(16), "the program works on its own copy");
});

Deno.test("execute: a system call can write into a register", async () => {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, "\x01\x02\x03\x04\x05\x06\x07\x00");
    const outcome = execute([
      here(call.open(path, flags("O", "RDONLY")), { save: "fd" }),
      here({ call: "read", args: [register("fd"), { cell: "value" }, 8] }),
    ]);
    assert(outcome.ok);
    assert.equal(outcome.registers.get("value"), 0x07060504030201);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("execute: descriptors that the program opened are closed again, except those to keep", () => {
  const count = (): number => [...Deno.readDirSync("/proc/self/fd")].length;
  const open = call.open("/dev/null", flags("O", "WRONLY"));
  const before = count();
  const program = [here(open, { save: "one" }), here(open, { save: "two" })];
  assert(execute(program).ok);
  assert.equal(count(), before);
  assert(!execute([...program, here(missing)], ["one"]).ok);
  assert.equal(count(), before, "a failure keeps nothing");
  const kept = execute(program, ["two"]);
  assert(kept.ok);
  assert.equal(count(), before + 1);
  assert(execute([here(call.close(kept.registers.get("two") ?? -1))]).ok);
});

Deno.test("execute: long texts, many steps and programs beyond 64 KiB arrive whole", async () => {
  const path = await Deno.makeTempFile();
  try {
    const texts = Array.from({ length: 1200 }, (_, i) => `${i}:${"ä€𐍈x".repeat(i % 90)}\n`);
    const long = "y".repeat(200_000);
    const program = [
      here(call.open(path, flags("O", "WRONLY")), { save: "fd" }),
      ...[...texts, long].map((text) => here(call.write(register("fd"), text))),
    ];
    assert(encode(program).bytes.length > 4 * 65536);
    assert(execute(program).ok);
    assert.equal(await Deno.readTextFile(path), texts.join("") + long);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("execute: a program after a large one is not disturbed by what that left in the buffer", () => {
  const large = Array.from({ length: 500 }, () => here(call.umask(0o22)));
  const tiny = [here(call.getpid, { save: "pid" })];
  const bytes = encode(tiny).bytes.slice();
  assert(execute(large).ok);
  assert.deepEqual(encode(tiny).bytes.slice(), bytes);
});

Deno.test("thousands of registers fit, and a NUL in a text is refused", () => {
  const many = (count: number): Program =>
    Array.from({ length: count }, (_, i) => here(call.getpid, { save: `r${i}` }));
  const outcome = execute(many(5000));
  assert(outcome.ok);
  assert.equal(outcome.registers.get("r4999"), Deno.pid);
  assert.throws(() => execute(many(65535)), RangeError);
  assert.throws(() => encode([here(call.open("/etc\0/passwd", flags("O", "RDONLY")))]), TypeError);
});

Deno.test("the container's steps run in a process of their own, and a failure of theirs ends it", () => {
  const cloned = callerStep("", call.clone3(flags("CLONE", "PIDFD"), "pidfd"), { save: "pid" });
  const outcome = execute([
    here(call.getpid, { save: "caller" }),
    cloned,
    step("look who it is", call.getpid, { save: "child" }),
    step("fail", missing),
    here(call.getpid, { save: "later" }),
  ]);
  assert(!outcome.ok);
  assert.deepEqual([outcome.step.label, outcome.errno], ["fail", 2]);
  const { caller, child, pid, later } = Object.fromEntries(outcome.registers);
  assert.equal(caller, Deno.pid);
  assert.equal(child, pid);
  assert.notEqual(child, caller);
  assert.equal(later, -9, "the caller's steps behind the failure did not run");
  assert.throws(() => Deno.statSync(`/proc/${pid}`), Deno.errors.NotFound);
});

Deno.test("execute: a failing step of the caller ends the container's process", () => {
  const outcome = execute([
    callerStep("", call.clone3(flags("CLONE", "PIDFD"), "pidfd"), { save: "pid" }),
    step("", call.getpid, { save: "child" }),
    callerStep("fail", missing),
    step("", call.execveFd(shimFd, ["never"], [])),
  ]);
  assert(!outcome.ok);
  assert.deepEqual([outcome.step.label, outcome.errno], ["fail", 2]);
  assert.throws(() => Deno.statSync(`/proc/${outcome.registers.get("pid")}`), Deno.errors.NotFound);
});

const SEED = 9_052_026, PROGRAMS = 400;
const U64 = 0xffff_ffff_ffff_ffffn;
const NAMES = ["a", "b", "c", "d"] as const;
const EINVAL = 22, ENOENT = 2, EBADF = 9;

interface ModelStep {
  step: ReturnType<typeof here>;
  /** What the step returns; the registers are those before it. */
  result: (registers: Map<string, number>, memory: bigint[]) => number;
}

function randomStep(random: () => number, memories: readonly Uint8Array[]): ModelStep {
  const below = (n: number): number => Math.floor(random() * n);
  const name = (): string => NAMES[below(NAMES.length)] ?? "a";
  const cell = below(memories.length);
  const memory = { bytes: memories[cell] ?? new Uint8Array(8) };
  const [value, mask] = [BigInt(below(4)), BigInt(below(4))];
  const errno = 1 + below(100);
  const other = name();
  const text = "é".repeat(below(6));
  const makers: (() => [Call, ModelStep["result"]])[] = [
    () => [call.getpid, () => Deno.pid],
    () => [pseudo("umask", 0o22), () => 0o22],
    () => [missing, () => -ENOENT],
    () => [pseudo("readlinkat", -1, "missing", memory, 8), () => -EBADF],
    () => [call.close(-1), () => -EBADF],
    () => [call.write(1 << 20, text), () => -EBADF],
    () => [pseudo("lseek", 1 << 20, 0, 0), () => -EBADF],
    () => [pseudo("prctl", -1, 0, 0, 0, 0), () => -EINVAL],
    () => [pseudo("expect", memory, mask, value, errno), (_, m) => ((m[cell] ?? 0n) & mask) === value ? 0 : -errno],
    () => [pseudo("store", memory, value, mask), (_, m) => (m[cell] = value + mask, 0)],
    () => [pseudo("store", memory, register(other), value), (registers, m) => {
      m[cell] = (BigInt(registers.get(other) ?? -EBADF) + value) & U64;
      return 0;
    }],
    () => [
      pseudo("expect", { words: [register(other)] }, 1n, value & 1n, errno),
      (registers) => (BigInt(registers.get(other) ?? -EBADF) & 1n) === (value & 1n) ? 0 : -errno,
    ],
  ];
  const [made, result] = makers[below(makers.length)]?.() ?? assert.fail();
  const options = {
    // What store returns is not kept, as structures are stored in the name of their step; and a register of openat's
    // is closed at the end, whatever a later step has put there.
    ...(made.call !== "store" && made !== missing && below(2) ? { save: name() } : {}),
    ...(below(4) ? {} : { when: name() }),
    ignore: ([["ENOENT", "EBADF"], ["EBADF"], ["ENOENT"], []] as const)[below(8) ? 0 : below(4)],
  };
  return { step: here(made, options), result };
}

/** What the shim must do with a program: the index of the failing step, its errno, the registers. */
function model(program: readonly ModelStep[], cells: number): { failed: number; errno: number; registers: unknown } {
  const registers = new Map<string, number>();
  for (const { step } of program) for (const name of [step.save, step.when]) if (name) registers.set(name, -EBADF);
  const memory = Array.from({ length: cells }, () => 0n);
  for (const [i, { step, result }] of program.entries()) {
    if (step.when !== undefined && (registers.get(step.when) ?? 0) < 0) continue;
    const returned = result(registers, memory);
    if (step.save !== undefined) registers.set(step.save, returned);
    const ignored = (returned === -ENOENT && step.ignore?.includes("ENOENT")) ||
      (returned === -EBADF && step.ignore?.includes("EBADF"));
    if (returned < 0 && !ignored) return { failed: i, errno: -returned, registers: Object.fromEntries(registers) };
  }
  return { failed: -1, errno: 0, registers: Object.fromEntries(registers) };
}

Deno.test("execute: random programs of harmless calls do what a model of the interpreter says", () => {
  const before = Deno.umask(0o22);
  try {
    const random = randomFrom(SEED);
    let [whole, failing] = [0, 0];
    for (let n = 0; n < PROGRAMS; n++) {
      const memories = Array.from({ length: 3 }, () => new Uint8Array(8));
      const steps = Array.from({ length: 1 + Math.floor(random() * 30) }, () => randomStep(random, memories));
      const program = steps.map(({ step }) => step);
      const outcome = execute(program);
      const found = {
        failed: outcome.ok ? -1 : program.indexOf(outcome.step),
        errno: outcome.ok ? 0 : outcome.errno,
        registers: Object.fromEntries(outcome.registers),
      };
      const expected = model(steps, memories.length);
      const reads = new Set(steps.flatMap(({ step }) => step.args.map(registerIn)).filter((name) => name !== ""));
      for (const name of reads) {
        if (!(name in Object(expected.registers))) Reflect.deleteProperty(found.registers, name);
      }
      assert.deepEqual(
        found,
        expected,
        `program ${n} of seed ${SEED}:\n${program.map((step) => formatCall(step)).join("\n")}`,
      );
      if (outcome.ok) whole++;
      else failing++;
    }
    assert(whole > 40 && failing > 40, `${whole} went through, ${failing} failed`);
  } finally {
    Deno.umask(before);
  }
});

/** The register that an argument reads, also inside of a structure; empty if none. */
function registerIn(argument: Argument): string {
  if (argument === null || typeof argument !== "object") return "";
  if ("register" in argument) return argument.register;
  return "words" in argument ? argument.words.map(registerIn).join("") : "";
}
