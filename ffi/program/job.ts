/**
 * Jobs of the shim's monitor: a header and encoded programs in one memfd, of the layout of `shim/job.h`.
 *
 * @module
 */

import { CapacityError, checkCapacity, encode, type Encoded } from "./encode.ts";
import { type Outcome, outcomeOf } from "./execute.ts";
import { close } from "../fs/fs.ts";
import { cString, shim } from "../native.ts";
import type { Program } from "./model.ts";
import { JOB, NUMBERS, REGISTERS } from "../shim/layout.ts";

/** When a monitor starts a container again. */
export type RestartPolicy = "no" | "on-failure" | "always";

/** The task of a monitor. */
export interface Job extends Restart {
  /** The container's id. */
  readonly id: string;
  /** Pid of the process that owns the container until the monitor does. */
  readonly claimant: number;
  /** The host, boot and namespaces of the monitor, as in ownership marks. */
  readonly origin: string;
  /** Maximum number of log files, and maximum size of each in bytes. Default: no log. */
  readonly log?: { readonly files: number; readonly limit: number };
  /** Set if `end` removes the container. */
  readonly removes: boolean;
  /** More members for the JSON of its events, beginning with a comma. At most 1023 bytes. */
  readonly attributes: string;
  /** The file in which the kernel counts its out-of-memory kills, at most 511 bytes. Default: none. */
  readonly oomFile?: string;
  /** The health check; times in milliseconds. Default: none. */
  readonly health?: {
    readonly program: Program;
    readonly interval: number;
    readonly timeout: number;
    readonly startPeriod: number;
    readonly retries: number;
  };
  /** Descriptors that the monitor inherits. */
  readonly descriptors: {
    /** The container's directory. */
    readonly folder: number;
    /** The directory of ownership marks. */
    readonly live: number;
    /** Read ends of the container's standard output and error; -1: none. */
    readonly outputs: readonly [number, number];
    /** Gets the pid when the container runs; closed then, or when the monitor gives up. */
    readonly report: number;
    /** A lock that is held until then; -1: none. */
    readonly lock: number;
    /** The lowest number above all inherited descriptors. */
    readonly base: number;
  };
  /** Creates the container. */
  readonly first: Program;
  /** Starts it again. */
  readonly again: Program;
  /** Removes its resources. */
  readonly end: Program;
}

/** The monitor's own descriptors, counted from `base`. */
export const PLACES = {
  pidfd: NUMBERS.PIDFD_PLACE,
  terminal: NUMBERS.TERMINAL_PLACE,
  network: NUMBERS.NETWORK_PLACE,
  job: NUMBERS.JOB_PLACE,
  claim: NUMBERS.CLAIM_PLACE,
} as const;

/** Restart policy of a container. */
export interface Restart {
  /** The ends after which it is started again. */
  readonly restart: RestartPolicy;
  /** Maximum number of restarts; 0: no limit. */
  readonly mostRestarts: number;
}

/** The registers of `first` and `again` in which the monitor finds the container's process. */
export interface JobRegisters {
  /** Holds its pid. */
  readonly pid: string;
  /** Holds its pidfd. */
  readonly pidfd: string;
  /** Holds the master of its terminal. Default: it has none. */
  readonly terminal?: string;
}

/** A job in a memfd. */
export interface JobFile {
  /** The memfd, close-on-exec; the caller closes it. */
  readonly fd: number;
  /** Reads the outcome of the first program after it has been run. */
  outcome(): Outcome;
}

const POLICIES = { "no": NUMBERS.NO, "on-failure": NUMBERS.ON_FAILURE, "always": NUMBERS.ALWAYS } as const;
const MFD_CLOEXEC = 1, U32_MAX = 2 ** 32 - 1;

type Field = Exclude<keyof typeof JOB, "size">;

interface Part extends Encoded {
  readonly offset: number;
}

/** Encodes programs one behind the other, beginning behind the header. */
function encodeParts(programs: readonly Program[]): Part[] {
  let offset: number = JOB.size;
  return programs.map((program) => {
    const encoded = encode(program);
    // The next encode overwrites these bytes.
    const part = { ...encoded, bytes: encoded.bytes.slice(), offset };
    offset = (offset + part.bytes.length + 7) & ~7;
    return part;
  });
}

/** The header of a job as it is written. */
class Header {
  readonly bytes = new Uint8Array(JOB.size);
  readonly #view = new DataView(this.bytes.buffer);

  /** Writes a number of 32 bits without a sign. */
  number(field: Field, value: number): void {
    checkCapacity(field, value, U32_MAX);
    this.#view.setUint32(JOB[field], value, true);
  }

  /** Writes a number of 64 bits. */
  long(field: Field, value: number): void {
    checkCapacity(field, value, Number.MAX_SAFE_INTEGER);
    this.#view.setBigUint64(JOB[field], BigInt(value), true);
  }

  /** Writes descriptors, of which -1 is none. */
  descriptors(field: Field, ...fds: readonly number[]): void {
    fds.forEach((fd, i) => this.#view.setInt32(JOB[field] + i * 4, fd, true));
  }

  /** Writes a string and its NUL into a field of `size` bytes. */
  text(field: Field, text: string, size: number): void {
    const bytes = cString(text);
    if (bytes.length > size) throw new CapacityError(field, bytes.length - 1, size - 1);
    this.bytes.set(bytes, JOB[field]);
  }

  /** Writes the places of a program's registers. */
  registers(field: Field, { registers }: Part, names: JobRegisters): void {
    const places = [...registers.keys()];
    for (const key of ["pid", "pidfd", "terminal"] as const) {
      const name = names[key], place = name === undefined ? NUMBERS.NONE : places.indexOf(name);
      if (place < 0) throw new TypeError(`cannot encode the job: its program has no register ${name}`);
      this.#view.setUint32(JOB[field] + REGISTERS[key], place, true);
    }
  }
}

function encodeHeader(job: Job, names: JobRegisters, [first, again, end, health]: readonly Part[]): Uint8Array {
  const header = new Header(), { log, descriptors: fds } = job;
  header.number("magic", NUMBERS.JOB_MAGIC);
  header.number("restart", POLICIES[job.restart]);
  header.number("maxRestarts", job.mostRestarts);
  header.number("logFiles", log?.files ?? 0);
  header.long("logLimit", log?.limit ?? 0);
  header.number("removes", job.removes ? 1 : 0);
  header.number("claimant", job.claimant);
  header.descriptors("directory", fds.folder);
  header.descriptors("live", fds.live);
  header.descriptors("outputs", ...fds.outputs);
  header.descriptors("report", fds.report);
  header.descriptors("base", fds.base);
  header.descriptors("lock", fds.lock);
  const programs = { first, again, end, health } as const;
  for (const field of ["first", "again", "end", "health"] as const) header.number(field, programs[field]?.offset ?? 0);
  if (first) header.registers("ofFirst", first, names);
  if (again) header.registers("ofAgain", again, names);
  header.number("healthInterval", job.health?.interval ?? 0);
  header.number("healthTimeout", job.health?.timeout ?? 0);
  header.number("healthStart", job.health?.startPeriod ?? 0);
  header.number("healthRetries", job.health?.retries ?? 0);
  header.text("origin", job.origin, NUMBERS.ORIGIN_SIZE);
  header.text("id", job.id, NUMBERS.ID_SIZE);
  header.text("attributes", job.attributes, NUMBERS.ATTRIBUTES_SIZE);
  header.text("oomFile", job.oomFile ?? "", NUMBERS.OOM_FILE_SIZE);
  return header.bytes;
}

/** Changes the restart policy in the job that is open as `fd`. Returns false if `fd` is no job. */
export function setRestart(fd: number, { restart, mostRestarts }: Restart): boolean {
  using file = Deno.openSync(`/proc/self/fd/${fd}`, { read: true, write: true });
  const words = new Uint32Array(1);
  if (file.readSync(new Uint8Array(words.buffer)) !== 4 || words[0] !== NUMBERS.JOB_MAGIC) return false;
  checkCapacity("maxRestarts", mostRestarts, U32_MAX);
  // `restart` and `maxRestarts` follow the magic number.
  file.writeSync(new Uint8Array(Uint32Array.of(POLICIES[restart], mostRestarts).buffer));
  return true;
}

/**
 * Writes a job into a memfd.
 *
 * @throws {TypeError} if a string holds a NUL, or a program lacks a register of `names`.
 * @throws {CapacityError} if something does not fit.
 */
export function jobFile(job: Job, names: JobRegisters): JobFile {
  const parts = encodeParts([job.first, job.again, job.end, ...(job.health ? [job.health.program] : [])]);
  const [first] = parts, last = parts.at(-1);
  if (!first || !last) throw new TypeError("cannot encode the job: it has no program");
  const bytes = new Uint8Array(last.offset + last.bytes.length);
  bytes.set(encodeHeader(job, names, parts));
  for (const part of parts) bytes.set(part.bytes, part.offset);
  const fd = shim.b("memfd_create", cString("job"), MFD_CLOEXEC);
  if (fd < 0 || shim.ib("write", fd, bytes, bytes.length) !== bytes.length) {
    if (fd >= 0) close(fd);
    throw new Error("cannot create the monitor's memfd: no memory");
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
