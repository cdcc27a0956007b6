/**
 * Starting a detached container: the shim's monitor process owns it and outlives this process.
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
import type { ContainerOptions } from "../options.ts";
import { type MonitorFds, openMonitorFds } from "./monitor_fds.ts";
import { type Plan, withNetwork } from "../spec/plan.ts";
import { prepareProcess } from "../spec/spec.ts";
import { ownOrigin } from "../../host/process_identity.ts";
import type { ContainerRecord, Detached } from "../state/record.ts";
import { readReport } from "../attached/report.ts";
import { parseRestart } from "../state/restart_policy.ts";

const LOG_SIZE = 10 * 1024 * 1024, LOG_FILES = 3;
const INTERVAL = 30_000, RETRIES = 3;
const TERMINAL_SIZE = { columns: 80, rows: 24 };
const NOTHING: Walked = { program: [], registers: [] };

type Walked = Parameters<typeof readReport>[1];

/** Returns the first descriptor number above all inherited ones. */
function baseOf({ inherited }: MonitorFds): number {
  return Math.max(...inherited) + 1;
}

/** Returns the descriptors that the monitor holds for other commands. */
function detachedOf(fds: MonitorFds, { tty }: ContainerOptions): Detached {
  const { inherited, input } = fds;
  return {
    job: baseOf(fds) + PLACES.job,
    ...(input === undefined || !inherited.includes(input) ? {} : { input }),
    ...(tty ? { terminal: baseOf(fds) + PLACES.terminal } : {}),
  };
}

function launchFdsOf(fds: MonitorFds, { tty }: ContainerOptions): LaunchFds {
  return {
    streams: fds.streams,
    ...(tty ? { terminalSize: TERMINAL_SIZE } : {}),
    shim: shimFd,
    hostNetwork: fds.network,
    lastProgram: fds.init?.fd ?? -1,
    report: fds.reports[1],
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
  const asStream = (fd: number): Stream => ({ fd });
  const streams = [asStream(0), asStream(1), asStream(2)] as const;
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
  fds: MonitorFds,
): Promise<Job> {
  const base = baseOf(fds);
  const networkPlace = base + PLACES.network;
  const launchFds = launchFdsOf(fds, options);
  const { logSize = LOG_SIZE, logFiles = LOG_FILES } = options;
  const health = await healthOf(spec, options, base + PLACES.pidfd);
  const oom = oomFile(thisHost(), spec.cgroups);
  const { folder, live, outputs, reports: [, report], devNull } = fds;
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
    descriptors: { folder, live, outputs, report, base, lock: fds.lock },
    first: compile(spec, record.keep ? { ...launchFds, networkPlace } : launchFds),
    again: compile(restartSpec(spec, networkPlace), { ...launchFds, report: devNull }),
    end: cleanupProgram({
      ports: fds.ports,
      groups: spec.cgroups.groups.map(({ path }) => path),
      ...(record.keep ? {} : { folder: spec.rootfs.folder }),
      claim: base + PLACES.claim,
      marks: [`${containers}/.live/${spec.id}.process`, `${containers}/.live/${spec.id}`],
    }),
  };
}

function startMonitor(job: number, inherited: readonly number[], home: string | undefined): Program {
  return [
    ...spawnOutsideSession("start the monitor", "monitor", home),
    step("reset all signals", call.defaultSignals),
    step("close all descriptors on execution", call.closeOnExecFrom(0)),
    ...[...inherited, job].map((fd) => step("except what it needs", call.stayOpen(fd))),
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

/** Runs the monitor, and `meanwhile`, until the container runs. Returns the PID of its first process. */
async function runMonitor(
  job: Job,
  fds: MonitorFds,
  spec: ContainerSpec,
  { tty = false }: ContainerOptions,
  meanwhile: () => void,
): Promise<number> {
  const terminal = tty ? { terminal: REGISTERS.terminal } : {};
  const file = createJobFile(job, { pid: REGISTERS.pid, pidfd: REGISTERS.pidfd, ...terminal });
  try {
    const outcome = execute(startMonitor(file.fd, fds.inherited, lastingGroup(thisHost())), ["monitor"]);
    if (!outcome.ok) throw await describe(outcome, spec);
    const [ownEnd, monitorEnd] = fds.reports;
    fds.close(monitorEnd);
    meanwhile();
    const { pid, failure } = readReport(ownEnd, fds.init ?? NOTHING);
    reapNow(outcome.registers.get("monitor") ?? -1);
    if (failure) throw await describe(failure, spec);
    if (pid !== undefined) return pid;
    const result = file.outcome();
    if (!result.ok) throw await describe(result, spec);
    throw new SpawnError("the monitor of the container ended before it could start it", {
      code: "monitor-ended",
      exitCode: 125,
      hint: "check whether it was killed, memory is exhausted, or the directory of containers is not writable",
    });
  } finally {
    close(file.fd);
  }
}

/** Writes the container's own files to its directory, so that they are the same after a restart. */
function withFiles(spec: ContainerSpec): ContainerSpec {
  const files = spec.files.map((file) => {
    const source = `${spec.rootfs.folder}/${file.path.slice(file.path.lastIndexOf("/") + 1)}`;
    Deno.writeTextFileSync(source, file.text, { mode: 0o644 });
    return { ...file, source };
  });
  return { ...spec, files };
}

/** Hooks of a start. */
export interface StartHooks {
  /** Called while the monitor starts the container; must not throw. */
  readonly meanwhile?: () => void;
  /**
   * Receives the write end of the container's standard input, if it is open, and must close it. Default: the monitor keeps
   * it open.
   */
  readonly takeInput?: (fd: number) => void;
}

/**
 * Starts a planned container that is recorded and that this process owns; its monitor becomes the owner. Calls `write` with
 * the complete record before anything else is created. Returns the PID of the first process.
 *
 * @throws {SpawnError} if a step failed. The caller must remove files and control groups.
 */
export async function startDetached(
  plan: Plan,
  reservation: NetworkReservation | undefined,
  record: ContainerRecord,
  write: (record: ContainerRecord) => void,
  { meanwhile, takeInput }: StartHooks = {},
): Promise<number> {
  const { containers, options } = plan;
  const spec = withFiles(withNetwork(plan, reservation));
  const fds = openMonitorFds(spec, options, containers, reservation, takeInput !== undefined);
  try {
    const complete = { ...record, detached: detachedOf(fds, options) };
    write(complete);
    const job = await jobOf(spec, plan, complete, fds);
    const pid = await runMonitor(job, fds, spec, options, () => {
      reservation?.announce();
      meanwhile?.();
    });
    reservation?.publication.handOver();
    if (takeInput && fds.input !== undefined) {
      fds.release(fds.input);
      takeInput(fds.input);
    }
    return pid;
  } finally {
    fds.close();
  }
}
