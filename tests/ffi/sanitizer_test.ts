/** Decoders and modes of the shim in its hosted build under ASan and UBSan: programs, jobs, records, monitor, init and join. */

import assert from "node:assert/strict";
import { close, read } from "../../ffi/fs/fs.ts";
import { shim } from "../../ffi/native.ts";
import { pipe, reapNow } from "../../ffi/process/process.ts";
import * as call from "../../ffi/program/calls.ts";
import { CapacityError, encode } from "../../ffi/program/encode.ts";
import { execute, programFile } from "../../ffi/program/execute.ts";
import { flags } from "../../ffi/program/flags.ts";
import { type Job, jobFile } from "../../ffi/program/job.ts";
import { callerStep, type Program, register, step } from "../../ffi/program/model.ts";
import { JOB, PROGRAM, REPORT, STEP } from "../../ffi/shim/layout.ts";
import { assertNoReports, Hosted, startHosted } from "../helpers/hosted.ts";
import { randomFrom } from "../helpers/random.ts";

const SEED = 14_112_026, MUTATIONS = 3000;
const NAMES = { pid: "pid", pidfd: "pidfd" } as const;

/** A program with all kinds of arguments, hidden steps and relocations. */
const SAMPLE: Program = [
  callerStep("", call.open("/dev/null", flags("O", "RDONLY")), { save: "fd", ignore: ["ENOENT"] }),
  callerStep("", call.close(register("fd")), { when: "fd" }),
  callerStep("", call.clone3(flags("CLONE", "PIDFD"), "pidfd", register("fd")), { save: "pid" }),
  step("", call.execve("/bin/true", ["true", "x"], ["A=b"])),
];

/** The sample in memory of its own. */
function sample(): Uint8Array<ArrayBuffer> {
  return encode(SAMPLE).bytes.slice();
}

/** Changes 32 bits of a copy. */
function changed(bytes: Uint8Array<ArrayBuffer>, offset: number, value: number): Uint8Array<ArrayBuffer> {
  const copy = bytes.slice();
  new DataView(copy.buffer).setUint32(offset, value, true);
  return copy;
}

/** Changes up to four words of a copy to values that are likely to hurt, and cuts off its end now and then. */
function mutated(bytes: Uint8Array<ArrayBuffer>, random: () => number): Uint8Array<ArrayBuffer> {
  const below = (n: number): number => Math.floor(random() * n);
  let copy = bytes;
  for (let n = 1 + below(4); n > 0; n--) {
    const values = [
      0,
      1,
      7,
      0xff,
      0xffff,
      0x7fffffff,
      0xfffffff8,
      0xffffffff,
      bytes.length,
      bytes.length - 7,
      below(2 ** 32),
    ];
    copy = changed(copy, below((bytes.length >> 2) - 1) * 4, values[below(values.length)] ?? 0);
  }
  return below(4) === 0 ? copy.slice(0, below(copy.length)) : copy;
}

Deno.test("is_valid_program accepts encoded programs, and refuses each that is cut off or has a wrong field", () => {
  using hosted = new Hosted();
  const bytes = sample(), validate = (bytes: Uint8Array): number => hosted.request("validate", bytes).result;
  assert.equal(validate(bytes), 1);
  assert.equal(validate(encode([]).bytes), 1);
  for (let length = 0; length < bytes.length; length++) assert.equal(validate(bytes.slice(0, length)), 0, `${length}`);
  const { magic, steps, stepCount, registers, registerCount, relocations, relocationCount } = PROGRAM;
  for (const offset of [magic, steps, registers, relocations]) {
    for (const value of [1, bytes.length + 8, 0xfffffff8]) {
      assert.equal(validate(changed(bytes, offset, value)), 0, `${offset}: ${value}`);
    }
  }
  for (const offset of [stepCount, registerCount, relocationCount]) {
    for (const value of [bytes.length, 0x3fffffff, 0xffffffff]) {
      assert.equal(validate(changed(bytes, offset, value)), 0, `${offset}: ${value}`);
    }
  }
  const first = PROGRAM.size;
  // Registers of the result and of the condition; a kind; an actor; a pointer behind the end; a register of an argument.
  assert.equal(validate(changed(bytes, first + STEP.save, 0xffff0003)), 0);
  assert.equal(validate(changed(bytes, first + STEP.save, 0x0003ffff)), 0);
  assert.equal(validate(changed(bytes, first + STEP.kinds, 4)), 0);
  assert.equal(validate(changed(bytes, first + STEP.actor - 2, 2 << 16)), 0);
  assert.equal(validate(changed(bytes, first + STEP.arguments + 8, bytes.length + 1)), 0);
  assert.equal(validate(changed(bytes, first + STEP.size + STEP.arguments, 3)), 0);
});

Deno.test("is_valid_program and is_valid_job stay in bounds with random changes", () => {
  using hosted = new Hosted();
  const random = randomFrom(SEED), program = sample(), job = jobBytes();
  let accepted = 0;
  for (let n = 0; n < MUTATIONS; n++) {
    accepted += hosted.request("validate", mutated(program, random)).result;
    accepted += hosted.request("validate-job", mutated(job, random)).result;
  }
  assert(accepted > 100, `${accepted} of seed ${SEED}`);
});

Deno.test("load_program reads whole programs from memfds and pipes, and refuses those whose writer was killed", () => {
  using hosted = new Hosted();
  const large = encode([callerStep("", call.write(-1, "x".repeat(200_000)))]).bytes.slice();
  for (const kind of ["load-memfd", "load-pipe"] as const) {
    for (const bytes of [sample(), large]) {
      assert.equal(hosted.request(kind, bytes).result, 1);
      assert.equal(hosted.request(kind, bytes.slice(0, bytes.length - 4)).result, 0);
      assert.equal(hosted.request(kind, bytes.slice(0, bytes.length >> 1)).result, 0);
    }
    assert.equal(hosted.request(kind, new Uint8Array()).result, 0);
  }
});

Deno.test("execute throws if the shim refuses the program", () => {
  const arguments_ = [0, 0, 0, 0, 0, 0, 0] as const;
  assert.throws(() => execute([callerStep("", { call: "getpid", args: arguments_ })]), CapacityError);
  const ignore = ["ENOENT", "EBADF", "EPERM", "EACCES", "EINVAL"] as const;
  assert.throws(() => execute([callerStep("", call.getpid, { ignore })]), CapacityError);
  const bytes = sample();
  assert.equal(shim.run(bytes.slice(0, bytes.length - 4)), -22);
  assert.equal(shim.run(changed(bytes, PROGRAM.magic, 0)), -22);
});

const JOB_SAMPLE: Job = {
  id: "0123456789ab",
  claimant: Deno.pid,
  origin: "machine.boot.1.2",
  restart: "on-failure",
  mostRestarts: 2,
  log: { files: 2, limit: 4096 },
  removes: false,
  attributes: "",
  descriptors: { folder: -1, live: -1, outputs: [-1, -1], report: -1, lock: -1, base: 10 },
  first: SAMPLE,
  again: SAMPLE,
  end: [],
};

/** The bytes of a job. */
function jobBytes(change: Partial<Job> = {}): Uint8Array<ArrayBuffer> {
  const { fd } = jobFile({ ...JOB_SAMPLE, ...change }, NAMES);
  try {
    return Deno.readFileSync(`/proc/self/fd/${fd}`);
  } finally {
    close(fd);
  }
}

Deno.test("is_valid_job accepts what jobFile writes, and refuses wrong fields", () => {
  using hosted = new Hosted();
  const bytes = jobBytes(), validate = (bytes: Uint8Array): number => hosted.request("validate-job", bytes).result;
  assert.equal(validate(bytes), 1);
  const { magic, restart, base, first, again, end, ofFirst, origin, attributes, oomFile } = JOB;
  for (const [offset, value] of [[magic, 0], [restart, 3], [base, 0xffffffff], [base, 0x7fffffff]] as const) {
    assert.equal(validate(changed(bytes, offset, value)), 0, `${offset}: ${value}`);
  }
  for (const offset of [first, again, end]) {
    for (const value of [4, JOB.size + 8, bytes.length, 0xfffffff8]) {
      assert.equal(validate(changed(bytes, offset, value)), 0, `${offset}: ${value}`);
    }
  }
  assert.equal(validate(changed(bytes, ofFirst, 3)), 0);
  for (const [offset, size] of [[origin, 48], [attributes, 1024], [oomFile, 512]] as const) {
    const endless = bytes.slice();
    endless.fill(65, offset, offset + size);
    assert.equal(validate(endless), 0, `${offset}`);
  }
});

Deno.test("jobFile throws CapacityError for what does not fit, and TypeError for a register that no program has", () => {
  const wrong: [keyof typeof JOB, Partial<Job>][] = [
    ["attributes", { attributes: `,${"a".repeat(1023)}` }],
    ["oomFile", { oomFile: `/${"a".repeat(511)}` }],
    ["id", { id: "0123456789abcdef" }],
    ["origin", { origin: "o".repeat(48) }],
    ["maxRestarts", { mostRestarts: 2 ** 32 }],
    ["healthInterval", { health: { program: [], interval: 2 ** 32, timeout: 1, startPeriod: 1, retries: 1 } }],
  ];
  for (const [part, change] of wrong) {
    assert.throws(
      () => jobFile({ ...JOB_SAMPLE, ...change }, NAMES),
      (error) => error instanceof CapacityError && error.code === "too-large-for-shim" && error.facts.part === part,
    );
  }
  assert.equal(
    jobBytes({ attributes: `,${"a".repeat(1022)}`, oomFile: `/${"a".repeat(510)}` }).length > JOB.size,
    true,
  );
  assert.throws(() => jobFile({ ...JOB_SAMPLE, first: [] }, NAMES), TypeError);
  assert.throws(
    () => programFile(Array.from({ length: 512 }, (_, i) => callerStep("", call.getpid, { save: `r${i}` }))),
    CapacityError,
  );
});

/** A directory of containers with one, which this process owns. */
function makeContainers(id: string): { readonly path: string; readonly folder: number; readonly live: number } {
  const path = Deno.makeTempDirSync({ prefix: "sauropod-sanitizer-" });
  Deno.mkdirSync(`${path}/.live`);
  Deno.mkdirSync(`${path}/${id}`);
  Deno.writeTextFileSync(`${path}/${id}/state`, " ".repeat(512));
  Deno.symlinkSync(`${JOB_SAMPLE.origin} ${Deno.pid}.1`, `${path}/.live/${id}`);
  return { path, folder: openDirectory(`${path}/${id}`), live: openDirectory(`${path}/.live`) };
}

function openDirectory(path: string): number {
  const outcome = execute([callerStep("", call.open(path, flags("O", "RDONLY", "DIRECTORY")), { save: "fd" })], ["fd"]);
  return outcome.registers.get("fd") ?? assert.fail(path);
}

function eventsOf(path: string): { action: string; exitCode?: number; health?: string; name?: string }[] {
  return Deno.readTextFileSync(`${path}/.events`).trimEnd().split("\n").map((line) => JSON.parse(line));
}

Deno.test("records fit into their buffers with the longest of all values", () => {
  const { path, folder, live } = makeContainers(JOB_SAMPLE.id);
  const name = "n".repeat(1023 - `,"name":""`.length);
  const bytes = jobBytes({
    attributes: `,"name":"${name}"`,
    descriptors: { ...JOB_SAMPLE.descriptors, folder, live, base: 100 },
  });
  {
    using hosted = new Hosted([folder, live]);
    assert.equal(hosted.request("write-records", bytes).result, 0);
    const [mark] = Deno.readLinkSync(`${path}/.live/${JOB_SAMPLE.id}`).split(".").slice(-2, -1);
    assert.equal(mark, `2 ${hosted.pid}`);
  }
  const events = eventsOf(path);
  assert.deepEqual(events.map(({ action }) => action), [
    "start",
    "start_failed",
    "health_status",
    "health_status",
    "oom",
    "die",
    "destroy",
  ]);
  for (const event of events) assert.equal(event.name, name);
  const state = Deno.readTextFileSync(`${path}/${JOB_SAMPLE.id}/state`);
  assert.equal(state.length, 512);
  assert.match(state, /^\{"sequence":(\d{20}),"status":"exited",.*,"failures":18446744073709551615,"end":\1\} *\n$/);
  close(folder);
  close(live);
  Deno.removeSync(path, { recursive: true });
});

/** Starts /bin/sh with the script, its output connected to the descriptors. */
function shell(script: string, out: number, err: number, open: number): Program {
  return [
    callerStep("leave a descriptor open", call.dup(out, open)),
    callerStep("start the process", call.clone3(flags("CLONE", "PIDFD"), "pidfd"), { save: "pid" }),
    step("connect standard output", call.dup(out, 1)),
    step("connect standard error", call.dup(err, 2)),
    step("unblock signals", call.unblockSignals),
    step("execute the shell", call.execve("/bin/sh", ["sh", "-c", script], ["PATH=/bin:/usr/bin"])),
  ];
}

async function until<T>(find: () => T | undefined): Promise<T> {
  const deadline = Date.now() + 30_000;
  for (;;) {
    const found = find();
    if (found !== undefined) return found;
    assert(Date.now() < deadline, "it takes too long");
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Tells whether a process has ended, reaped or not. */
function hasEnded(pid: number): boolean {
  try {
    return / Z /.test(Deno.readTextFileSync(`/proc/${pid}/stat`));
  } catch {
    return true;
  }
}

Deno.test("sauropod-monitor under ASan and UBSan: log, health check, restart, events, and descriptors above 1024", async () => {
  const { path, folder, live } = makeContainers(JOB_SAMPLE.id);
  const reports = Deno.makeTempDirSync({ prefix: "sauropod-reports-" });
  const [outRead, outWrite] = pipe(), [errRead, errWrite] = pipe(), [report, reportWrite] = pipe();
  const given = [folder, live, outRead, outWrite, errRead, errWrite, reportWrite];
  const base = 1300,
    program = shell(
      `echo out; echo err >&2; i=0; until [ -e ${path}/go ] || [ $((i+=1)) -gt 1500 ]; do sleep 0.02; done; exit 7`,
      outWrite,
      errWrite,
      base - 100,
    );
  const health = [step("execute true", call.execve("/bin/true", ["true"], []))];
  const job = jobFile({
    ...JOB_SAMPLE,
    mostRestarts: 1,
    descriptors: { folder, live, outputs: [outRead, errRead], report: reportWrite, lock: -1, base },
    health: { program: health, interval: 20, timeout: 10_000, startPeriod: 0, retries: 1 },
    first: program,
    again: program,
    end: [],
  }, NAMES);
  const { pidfd } = startHosted({
    args: ["sauropod-monitor", String(job.fd)],
    streams: [outRead, outWrite],
    inherited: [...given, job.fd],
    reports,
  });
  assert.deepEqual(reapNow(pidfd), { code: 0 });
  for (const fd of given) if (fd !== folder && fd !== live) close(fd);
  const word = new Uint32Array(2);
  assert.equal(read(report, new Uint8Array(word.buffer)), 8, JSON.stringify(job.outcome()));
  assert.deepEqual([word[0], word[1]], [0xffffffff, job.outcome().registers.get("pid")]);
  const state = (): string => Deno.readTextFileSync(`${path}/${JOB_SAMPLE.id}/state`);
  await until(() => state().includes(`"health":"healthy"`) || undefined);
  const monitor = Number(/ (\d+)\.\d+$/.exec(Deno.readLinkSync(`${path}/.live/${JOB_SAMPLE.id}`))?.[1]);
  const open = [...Deno.readDirSync(`/proc/${monitor}/fd`)].map(({ name }) => Number(name)).filter((fd) => fd > 1024);
  // pidfd, signals, log, job, claim: the descriptor at 1200 that the program has left open is closed.
  assert.deepEqual(open.sort(), [0, 3, 4, 5, 6].map((place) => base + place));
  Deno.writeTextFileSync(`${path}/go`, "");
  await until(() => hasEnded(monitor) || undefined);
  assert.match(state(), /"status":"exited","restarts":1,.*"code":7,/);
  const log = Deno.readTextFileSync(`${path}/${JOB_SAMPLE.id}/log`).trimEnd().split("\n").map((line) => line.slice(31));
  assert.deepEqual(log.sort(), ["stderr F err", "stderr F err", "stdout F out", "stdout F out"]);
  const actions = eventsOf(path).map(({ action }) => action).filter((action) => action !== "health_status");
  assert.deepEqual(actions, ["start", "die", "start", "die"]);
  for (const fd of [folder, live, report, job.fd]) close(fd);
  Deno.removeSync(path, { recursive: true });
  assertNoReports(reports);
});

/** Runs a mode with a program. Returns its exit status and its report. */
function runMode(mode: "init" | "join", program: Program): { code: number; report: Uint8Array } {
  const reports = Deno.makeTempDirSync({ prefix: "sauropod-reports-" });
  const { fd } = programFile(program), [report, reportWrite] = pipe(), [input, output] = pipe();
  const { pidfd } = startHosted({
    args: [`sauropod-${mode}`, String(fd), String(reportWrite)],
    streams: [input, output],
    inherited: [fd, reportWrite],
    reports,
  });
  for (const own of [fd, reportWrite, input, output]) close(own);
  const { code } = reapNow(pidfd);
  const bytes = new Uint8Array(REPORT.size * 2), length = read(report, bytes);
  close(report);
  assertNoReports(reports);
  return { code, report: bytes.slice(0, length) };
}

for (const mode of ["init", "join"] as const) {
  Deno.test(`sauropod-${mode} under ASan and UBSan: the exit status of the command, and the report of a failure`, () => {
    const exit = (status: number): Program => [
      step("", call.closeOnExecFrom(3)),
      step("", call.execve("/bin/sh", ["sh", "-c", `exit ${status}`], [])),
    ];
    assert.deepEqual(runMode(mode, exit(9)), { code: 9, report: new Uint8Array() });
    const { code, report } = runMode(mode, [
      step("", call.getpid, { save: "pid" }),
      step("", call.open("/no/such/file", flags("O", "RDONLY")), { save: "fd" }),
    ]);
    const view = new DataView(report.buffer);
    assert.deepEqual([code, report.length], [125, REPORT.size]);
    assert.deepEqual([view.getUint32(REPORT.step, true), view.getUint32(REPORT.error, true)], [1, 2]);
    assert.equal(view.getBigInt64(REPORT.registers + 8, true), -2n);
  });
}
