/**
 * Starting a container that outlives this process: a monitor of the shim's own holds it.
 *
 * @module
 */

import * as call from "../../../ffi/program/calls.ts";
import { execute, shimFd } from "../../../ffi/program/execute.ts";
import { close } from "../../../ffi/fs/fs.ts";
import { CapacityError } from "../../../ffi/program/encode.ts";
import { type Job, type JobFile, jobFile, PLACES } from "../../../ffi/program/job.ts";
import { reapNow } from "../../../ffi/process/process.ts";
import { type Program, step } from "../../../ffi/program/model.ts";
import { wayInto } from "../../cgroup/enter.ts";
import { lastingGroup, thisHost } from "../../cgroup/host.ts";
import { oomFile } from "../../cgroup/plan.ts";
import { InputError, SpawnError } from "../../errors.ts";
import { lazy } from "../../lazy.ts";
import type { NetworkReservation } from "../../network/reserve.ts";
import { compile } from "../../program/compile.ts";
import { cleanupProgram, restartSpec, spawnOutsideSession } from "../../program/monitor_programs.ts";
import { joinProgram } from "../../program/join.ts";
import { type LaunchFds, REGISTERS, type Stream } from "../../program/launch_fds.ts";
import type { ContainerSpec } from "../../program/spec.ts";
import type { FailedStep } from "../attached/failure.ts";
import type { ContainerOptions } from "../spec/options.ts";
import { type MonitorFds, openMonitorFds } from "./monitor_fds.ts";
import { type Plan, withNetwork } from "../spec/plan.ts";
import { prepareProcess } from "../spec/spec.ts";
import { ownOrigin } from "../state/origin.ts";
import type { ContainerRecord, Detached } from "../state/record.ts";
import { readReport } from "../attached/report.ts";
import { parseRestart } from "../state/restart_policy.ts";

const LOG_SIZE = 10 * 1024 * 1024, LOG_FILES = 3;
const INTERVAL = 30_000, RETRIES = 3;
const TERMINAL_SIZE = { columns: 80, rows: 24 };
const NOTHING: Walked = { program: [], registers: [] };

type Walked = Parameters<typeof readReport>[1];

/** The first descriptor above all that are given. */
function baseOf({ given }: MonitorFds): number {
  return Math.max(...given) + 1;
}

/** What the monitor holds for others. */
function detachedOf(outfit: MonitorFds, { tty }: ContainerOptions): Detached {
  const { given, input } = outfit;
  return {
    job: baseOf(outfit) + PLACES.job,
    ...(input === undefined || !given.includes(input) ? {} : { input }),
    ...(tty ? { terminal: baseOf(outfit) + PLACES.terminal } : {}),
  };
}

function wiringOf(outfit: MonitorFds, { tty }: ContainerOptions): LaunchFds {
  return {
    streams: outfit.streams,
    ...(tty ? { terminalSize: TERMINAL_SIZE } : {}),
    shim: shimFd,
    hostNetwork: outfit.network,
    lastProgram: outfit.init?.fd ?? -1,
    report: outfit.reports[1],
  };
}

async function healthOf(
  spec: ContainerSpec,
  options: ContainerOptions,
  container: number,
): Promise<Job["health"]> {
  if (!options.health) return undefined;
  const { command, interval = INTERVAL, timeout = INTERVAL, startPeriod = 0, retries = RETRIES } = options.health;
  const words = typeof command === "string" ? ["/bin/sh", "-c", command] : command;
  const process = await prepareProcess(spec.rootfs.lower, words, options, spec.hostname);
  const inherited = (fd: number): Stream => ({ fd });
  const streams = [inherited(0), inherited(1), inherited(2)] as const;
  const groups = spec.cgroups.groups.map(wayInto);
  return { program: joinProgram(process, groups, { container, streams }), interval, timeout, startPeriod, retries };
}

function attributesOf({ name, image }: ContainerRecord): string {
  return `,${JSON.stringify({ ...(name === undefined ? {} : { name }), image }).slice(1, -1)}`;
}

async function jobOf(
  spec: ContainerSpec,
  { containers, options }: Plan,
  record: ContainerRecord,
  outfit: MonitorFds,
): Promise<Job> {
  const base = baseOf(outfit);
  const networkPlace = base + PLACES.network;
  const wiring = wiringOf(outfit, options);
  const { logSize = LOG_SIZE, logFiles = LOG_FILES } = options;
  const health = await healthOf(spec, options, base + PLACES.pidfd);
  const oom = oomFile(thisHost(), spec.cgroups);
  const { folder, live, outputs, reports: [, report], silence } = outfit;
  return {
    id: spec.id,
    claimant: Deno.pid,
    origin: ownOrigin(),
    ...parseRestart(options.restart),
    ...(logSize > 0 ? { log: { files: logFiles, limit: logSize } } : {}),
    removes: !record.keep,
    attributes: attributesOf(record),
    ...(oom === undefined ? {} : { oomFile: oom }),
    ...(health ? { health } : {}),
    descriptors: { folder, live, outputs, report, base, lock: outfit.lock },
    first: compile(spec, record.keep ? { ...wiring, networkPlace } : wiring),
    again: compile(restartSpec(spec, networkPlace), { ...wiring, report: silence }),
    end: cleanupProgram({
      ports: outfit.ports,
      groups: spec.cgroups.groups.map(({ path }) => path),
      ...(record.keep ? {} : { folder: spec.rootfs.folder }),
      claim: base + PLACES.claim,
      marks: [`${containers}/.live/${spec.id}.process`, `${containers}/.live/${spec.id}`],
    }),
  };
}

function startMonitor(job: number, given: readonly number[], home: string | undefined): Program {
  return [
    ...spawnOutsideSession("start the monitor", "monitor", home),
    step("reset all signals", call.defaultSignals),
    step("close all descriptors on execution", call.closeOnExecFrom(0)),
    ...[...given, job].map((fd) => step("except what it needs", call.stayOpen(fd))),
    step("execute the monitor", call.execveFd(shimFd, ["sauropod-monitor", String(job)], [])),
  ];
}

/** Calls jobFile; what does not fit is the caller's input. */
function createJobFile(...[job, names]: Parameters<typeof jobFile>): JobFile {
  try {
    return jobFile(job, names);
  } catch (cause) {
    if (!(cause instanceof CapacityError)) throw cause;
    const { code, facts, message } = cause;
    throw new InputError(message, { code, facts, hint: `choose at most ${facts.limit}`, cause });
  }
}

async function describe(failure: FailedStep, spec: ContainerSpec): Promise<Error> {
  const { describeFailure } = await lazy.failure();
  return describeFailure(failure, spec);
}

/** Runs the monitor until the container runs, and does something `meanwhile`; returns the number of its first process. */
async function runMonitor(
  job: Job,
  outfit: MonitorFds,
  spec: ContainerSpec,
  { tty = false }: ContainerOptions,
  meanwhile: () => void,
): Promise<number> {
  const terminal = tty ? { terminal: REGISTERS.terminal } : {};
  const file = createJobFile(job, { pid: REGISTERS.pid, pidfd: REGISTERS.pidfd, ...terminal });
  try {
    const outcome = execute(startMonitor(file.fd, outfit.given, lastingGroup(thisHost())), ["monitor"]);
    if (!outcome.ok) throw await describe(outcome, spec);
    const [ours, theirs] = outfit.reports;
    outfit.close(theirs);
    meanwhile();
    const { pid, failure } = readReport(ours, outfit.init ?? NOTHING);
    reapNow(outcome.registers.get("monitor") ?? -1);
    if (failure) throw await describe(failure, spec);
    if (pid !== undefined) return pid;
    const result = file.outcome();
    if (!result.ok) throw await describe(result, spec);
    throw new SpawnError("the monitor of the container ended before it could start it", {
      code: "monitor-ended",
      exitCode: 125,
      hint: "somebody has killed it, there is no memory left, or no file can be made in the folder of containers",
    });
  } finally {
    close(file.fd);
  }
}

/** Writes the container's own files to its folder: they are to be the same when it is started again. */
function withFiles(spec: ContainerSpec): ContainerSpec {
  const files = spec.files.map((file) => {
    const source = `${spec.rootfs.folder}/${file.path.slice(file.path.lastIndexOf("/") + 1)}`;
    Deno.writeTextFileSync(source, file.text, { mode: 0o644 });
    return { ...file, source };
  });
  return { ...spec, files };
}

/** What whoever starts a container wants beside. */
export interface StartHooks {
  /** Done while others work; must not fail. */
  readonly meanwhile?: () => void;
  /**
   * Given the end of the container's standard input to write to, if it is open, to be closed by the receiver. Default: its
   * monitor keeps it open.
   */
  readonly takeInput?: (fd: number) => void;
}

/**
 * Starts a planned container whose record is there and whose marks are ours; they become its monitor's. `write` is to
 * write the record with what it is told, before anything else is made. Returns the number of the first process.
 *
 * @throws {SpawnError} if a step failed. Files and control groups are the caller's to remove.
 */
export async function startDetached(
  plan: Plan,
  place: NetworkReservation | undefined,
  record: ContainerRecord,
  write: (record: ContainerRecord) => void,
  { meanwhile, takeInput }: StartHooks = {},
): Promise<number> {
  const { containers, options } = plan;
  const spec = withFiles(withNetwork(plan, place));
  const outfit = openMonitorFds(spec, options, containers, place, takeInput !== undefined);
  try {
    const complete = { ...record, detached: detachedOf(outfit, options) };
    write(complete);
    const job = await jobOf(spec, plan, complete, outfit);
    const pid = await runMonitor(job, outfit, spec, options, () => {
      place?.announce();
      meanwhile?.();
    });
    place?.publication.handOver();
    if (takeInput && outfit.input !== undefined) {
      outfit.release(outfit.input);
      takeInput(outfit.input);
    }
    return pid;
  } finally {
    outfit.close();
  }
}
