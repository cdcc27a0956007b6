/**
 * Jobs for the shim's monitor: a header and encoded programs in one memory file. The layout is `shim/job.h`'s.
 *
 * @module
 */

import { encode, type Encoded } from "./encode.ts";
import { type Outcome, outcomeOf } from "./execute.ts";
import { close } from "../fs/fs.ts";
import { cString, shim } from "../native.ts";
import type { Program } from "./model.ts";

/** When a monitor starts a container again. */
export type RestartPolicy = "no" | "on-failure" | "always";

/** What a monitor is to do. */
export interface Job extends Restart {
  /** The container's id. */
  readonly id: string;
  /** The process whose the container is until it is the monitor's. */
  readonly claimant: number;
  /** Where it is, as marks have it. */
  readonly origin: string;
  /** How many log files there may be, and how large one may become in bytes. Default: no log. */
  readonly log?: { readonly files: number; readonly limit: number };
  /** Whether `end` removes the container. */
  readonly removes: boolean;
  /** More members for the JSON of its events, beginning with a comma. */
  readonly attributes: string;
  /** The file in which the kernel counts its out-of-memory kills. Default: none. */
  readonly oomFile?: string;
  /** How to ask whether the container is well; times in milliseconds. Default: nobody asks. */
  readonly health?: {
    readonly program: Program;
    readonly interval: number;
    readonly timeout: number;
    readonly startPeriod: number;
    readonly retries: number;
  };
  /** Descriptors that the monitor is given. */
  readonly descriptors: {
    /** The container's folder. */
    readonly folder: number;
    /** The folder of marks. */
    readonly live: number;
    /** What to read of the container's standard output and error; -1 is nothing. */
    readonly outputs: readonly [number, number];
    /** Told which process it is when the container runs; closed then, or when the monitor has given up. */
    readonly report: number;
    /** A lock that is to be held until then; closed then, too. -1 is none. */
    readonly lock: number;
    /** The first number that is above all others given. */
    readonly base: number;
  };
  /** Makes the container. */
  readonly first: Program;
  /** Starts it again. */
  readonly again: Program;
  /** Takes away what must not stay. */
  readonly end: Program;
}

/** The monitor's own descriptors, counted from `base`. */
export const PLACES = { pidfd: 0, terminal: 1, network: 2, job: 5, claim: 6 } as const;

/** When a container is started again. */
export interface Restart {
  /** After which ends. */
  readonly restart: RestartPolicy;
  /** How many times at most; 0 is any number. */
  readonly mostRestarts: number;
}

/** The registers of `first` and `again` that the monitor reads: what a container's process is known by. */
export interface JobRegisters {
  /** Holds the process's number. */
  readonly pid: string;
  /** Holds its pidfd. */
  readonly pidfd: string;
  /** Holds our side of its terminal. Default: it has none. */
  readonly terminal?: string;
}

/** A job, written. */
export interface JobFile {
  /** The memory file, close-on-exec; the caller closes it. */
  readonly fd: number;
  /** What became of the first program, once it has been run. */
  outcome(): Outcome;
}

const MAGIC = 0x4a525353, NONE = 0xffff;
const HEADER_SIZE = 1464;
const POLICIES: readonly RestartPolicy[] = ["no", "on-failure", "always"];
const AT = {
  numbers: 0,
  limit: 24,
  descriptors: 32,
  programs: 60,
  origin: 116,
  id: 164,
  attributes: 180,
  oomFile: 1204,
};
const SIZES = { attributes: 1024, oomFile: 256 };
const MFD_CLOEXEC = 1;

interface Part extends Encoded {
  readonly offset: number;
}

function place(parts: Part[], program: Program): Part {
  const encoded = encode(program);
  const last = parts.at(-1);
  const offset = last ? (last.offset + last.bytes.length + 7) & ~7 : HEADER_SIZE;
  // The next encode writes over these bytes.
  const part = { ...encoded, bytes: encoded.bytes.slice(), offset };
  parts.push(part);
  return part;
}

function fitting(text: string, size: number): Uint8Array {
  const bytes = new TextEncoder().encode(text);
  return bytes.length < size ? bytes : new Uint8Array();
}

function header(job: Job, names: JobRegisters, programs: readonly [Part, Part, Part, Part?]): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE);
  const view = new DataView(bytes.buffer);
  const { descriptors: { folder, live, outputs, report, base, lock }, health, log } = job;
  const write = (at: number, numbers: readonly number[]): void =>
    numbers.forEach((number, i) => view.setInt32(at + i * 4, number, true));
  const indices = ({ registers }: Part): number[] =>
    [names.pid, names.pidfd, names.terminal].map((name) =>
      name === undefined ? NONE : [...registers.keys()].indexOf(name)
    );
  const { claimant, mostRestarts, removes } = job;
  write(AT.numbers, [MAGIC, POLICIES.indexOf(job.restart), mostRestarts, log?.files ?? 0, removes ? 1 : 0, claimant]);
  view.setBigUint64(AT.limit, BigInt(log?.limit ?? 0), true);
  write(AT.descriptors, [folder, live, ...outputs, report, base, lock]);
  const [first, again, end, asking] = programs;
  write(AT.programs, [first.offset, again.offset, end.offset, asking?.offset ?? 0]);
  write(AT.programs + 16, [...indices(first), ...indices(again)]);
  write(AT.programs + 40, [
    health?.interval ?? 0,
    health?.timeout ?? 0,
    health?.startPeriod ?? 0,
    health?.retries ?? 0,
  ]);
  bytes.set(fitting(job.origin, 48), AT.origin);
  bytes.set(fitting(job.id, 16), AT.id);
  bytes.set(fitting(job.attributes, SIZES.attributes), AT.attributes);
  bytes.set(fitting(job.oomFile ?? "", SIZES.oomFile), AT.oomFile);
  return bytes;
}

/** Changes when the monitor whose job is open as `fd` starts its container again; false if `fd` is no job. */
export function setRestart(fd: number, { restart, mostRestarts }: Restart): boolean {
  using file = Deno.openSync(`/proc/self/fd/${fd}`, { read: true, write: true });
  const words = new Uint32Array(1);
  if (file.readSync(new Uint8Array(words.buffer)) !== 4 || words[0] !== MAGIC) return false;
  file.writeSync(new Uint8Array(Uint32Array.of(POLICIES.indexOf(restart), mostRestarts).buffer));
  return true;
}

/** Writes a job. Throws `TypeError` if a string of a program holds a NUL. */
export function jobFile(job: Job, names: JobRegisters): JobFile {
  const parts: Part[] = [];
  const first = place(parts, job.first), again = place(parts, job.again), end = place(parts, job.end);
  const asking = job.health && place(parts, job.health.program);
  const last = parts.at(-1) ?? first;
  const bytes = new Uint8Array(last.offset + last.bytes.length);
  bytes.set(header(job, names, asking ? [first, again, end, asking] : [first, again, end]));
  for (const part of parts) bytes.set(part.bytes, part.offset);
  const fd = shim.b("memfd_create", cString("job"), MFD_CLOEXEC);
  if (fd < 0 || shim.ib("write", fd, bytes, bytes.length) !== bytes.length) {
    if (fd >= 0) close(fd);
    throw new Error("no memory for the monitor's job");
  }
  return {
    fd,
    outcome(): Outcome {
      const memory = new Uint8Array(first.bytes.length);
      using file = Deno.openSync(`/proc/self/fd/${fd}`);
      file.seekSync(first.offset, Deno.SeekMode.Start);
      file.readSync(memory);
      return outcomeOf(first, memory);
    },
  };
}
