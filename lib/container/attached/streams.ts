/**
 * The command's standard streams: pipes, inherited descriptors, or a terminal of the container's own.
 *
 * @module
 */

import { flags } from "../../../ffi/program/flags.ts";
import { AT_FDCWD, close, openAt } from "../../../ffi/fs/fs.ts";
import { isFolder, isSocket } from "../../../ffi/fs/paths.ts";
import { isTerminal, pipe, windowSize } from "../../../ffi/process/process.ts";
import { InputError } from "../../errors.ts";
import { lazy } from "../../lazy.ts";
import { OWN_PIPE, type Stream, type TerminalSize } from "../../program/launch_fds.ts";
import type { ProcessSpec } from "../../program/spec.ts";
import type { StreamOption } from "../options.ts";
import { type Handle, handle, readable, relay, resize, typewriter, writable } from "./pipes.ts";

/** What a user asks of the streams. */
export interface StreamOptions {
  /** Standard input. Default: `null`. */
  stdin?: StreamOption;
  /** Standard output. Default: `inherit`. */
  stdout?: StreamOption;
  /** Standard error. Default: `inherit`. */
  stderr?: StreamOption;
  /**
   * Give the command a terminal of its own for all its streams; with piped streams, of this size. Default: when standard
   * input is inherited and is a terminal, for those streams that are one.
   */
  terminal?: boolean | TerminalSize;
}

/** Both sides of the streams of a container that is about to start. */
export interface Connection {
  /** What the container's process gets. */
  readonly streams: readonly [Stream, Stream, Stream];
  /** The size of the terminal that the container gets. */
  readonly size?: TerminalSize;
  /** Takes our sides into use once the container runs; `terminal` is our side of its terminal. */
  start(terminal?: number): Promise<Streams>;
  /** Closes everything; for a container that did not start. */
  abandon(): void;
}

/** Our sides of a running container's streams. */
export interface Streams {
  /** The command's input, if piped. */
  readonly stdin?: WritableStream<Uint8Array>;
  /** The command's output, if piped. */
  readonly stdout?: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** The command's errors, if piped; part of the output when it has a terminal. */
  readonly stderr?: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Sets the size of the container's terminal, if it has one that the user's does not rule. */
  resize?(size: TerminalSize): void;
  /**
   * For when the command has ended: resolves when all that it wrote to inherited streams has arrived. Others that hold its
   * pipes may write to them for `grace` milliseconds more. Default: until they end.
   */
  readonly drain: (grace?: number) => Promise<void>;
  /** Closes what nobody closed. */
  close(): void;
}

const DEFAULT_SIZE: TerminalSize = { columns: 80, rows: 24 };

function refuse(message: string, hint: string): never {
  throw new InputError(message, { code: "bad-streams", hint });
}

/** Whether a command can open by name what it inherits: root can, but for sockets, which nobody can. */
function opensAll(inherited: readonly number[], { identity, capabilities }: ProcessSpec): boolean {
  return identity.uid === 0 && capabilities.includes("DAC_OVERRIDE") && !inherited.some((fd) => fd > 0 && isSocket(fd));
}

/** What has been decided of the streams, and our ends of their pipes. */
interface Decided {
  readonly choice: readonly [StreamOption, StreamOption, StreamOption];
  /** Which are terminals of the user's. */
  readonly typed: readonly boolean[];
  /** Whether neither input nor output is the user's. */
  readonly piped: boolean;
  /** Our ends, by the descriptors that they are of the command's. */
  readonly ours: ReadonlyMap<number, number>;
  /** The command's end of its input's pipe, if that is fed from a file; -1 if not. */
  readonly fed: number;
}

/** Takes our sides into use; `terminal` is our side of the container's. */
async function begin({ choice, typed, piped, ours, fed }: Decided, terminal?: number): Promise<Streams> {
  const handles = new Map([...ours].map(([fd, own]) => [fd, handle(own)]));
  const drained: Promise<unknown>[] = [], relayed: Handle[] = [];
  const source = (fd: 1 | 2): ReadableStream<Uint8Array<ArrayBuffer>> | undefined => {
    const own = handles.get(fd);
    if (own && choice[fd] === "piped") return readable(own);
    if (!own) return;
    relayed.push(own);
    drained.push(relay(own, fd));
  };
  const stdin = handles.get(0);
  const stop = stdin && fed >= 0 ? (await lazy.streamAccess()).feed(0, stdin, fed) : undefined;
  const plain = {
    stdin: stdin && choice[0] === "piped" ? writable(stdin) : undefined,
    stdout: source(1),
    stderr: source(2),
  };
  const screen = terminal === undefined ? undefined : handle(terminal);
  if (screen) handles.set(-1, screen);
  if (screen && !piped) {
    const { pump } = await lazy.pump();
    drained.push(pump(screen.fd, 0, [1, 2, 0].find((fd) => typed[fd]) ?? 1));
  }
  const all = Promise.all(drained).then(() => {});
  // It is awaited when the container has ended; until then an error must not count as unhandled.
  all.catch(() => {});
  const drain = (grace?: number): Promise<void> => {
    stop?.();
    if (grace === undefined || relayed.length === 0) return all;
    const timer = setTimeout(() => relayed.forEach((own) => own.close()), grace);
    return all.finally(() => clearTimeout(timer));
  };
  const closeAll = (): void => {
    stop?.();
    handles.forEach((own) => own.close());
  };
  const common = { drain, close: closeAll };
  if (!screen || !piped) return { ...plain, ...common };
  return {
    ...common,
    stdin: choice[0] === "piped" ? typewriter(screen) : undefined,
    stdout: readable(screen),
    resize: (size) => resize(screen, size),
  };
}

/**
 * Decides what each stream of `process` is and makes the pipes for it.
 *
 * @throws {InputError} `bad-streams`.
 */
export async function connect(options: StreamOptions, process: ProcessSpec): Promise<Connection> {
  const choice = [options.stdin ?? "null", options.stdout ?? "inherit", options.stderr ?? "inherit"] as const;
  const typed = choice.map((option, fd) => option === "inherit" && isTerminal(fd));
  const wanted = options.terminal ?? typed[0] ?? false;
  const piped = choice[0] !== "inherit" && choice[1] !== "inherit";
  if (!wanted && typed[0]) {
    refuse(
      "standard input is a terminal, which a container must not have itself",
      "leave out --tty=false, or redirect it",
    );
  }
  if (wanted && !piped && choice.includes("piped")) {
    refuse("some streams are piped and some inherited, and the container has one terminal", "pipe all, or inherit all");
  }
  if (choice[0] === "inherit" && isFolder(0)) {
    refuse("standard input is a folder", "redirect it from a file or /dev/null");
  }
  const inherited = [0, 1, 2].filter((fd) => choice[fd] === "inherit" && !typed[fd]);
  const access = opensAll(inherited, process)
    ? undefined
    : (await lazy.streamAccess()).chooseAccess(inherited, process);
  const ours = new Map<number, number>();
  const theirs: number[] = [];
  let fed = -1;

  const stream = (fd: 0 | 1 | 2): Stream => {
    const option = choice[fd];
    // Asked for, the terminal takes all; else what is redirected stays as it is.
    const onTerminal = wanted && option !== "null" && (option === "piped" || options.terminal || typed[fd]);
    if (onTerminal) return "terminal";
    const how = access?.get(fd) ?? "given";
    if (option === "inherit" && !typed[fd] && how !== "relayed") {
      return typeof how === "object" ? { fd, ...how } : { fd };
    }
    if (option === "null") {
      const none = openAt(AT_FDCWD, "/dev/null", flags("O", "RDWR"));
      theirs.push(none);
      return { fd: none };
    }
    const [read, write] = pipe();
    const [own, other] = fd === 0 ? [write, read] : [read, write];
    ours.set(fd, own);
    if (fd === 0 && option === "inherit") fed = other;
    else theirs.push(other);
    return { fd: other, mode: OWN_PIPE };
  };
  const input = stream(0), output = stream(1), errors = access?.get(2) === "as-output" ? output : stream(2);
  const size = typeof wanted === "object"
    ? wanted
    : wanted
    ? windowSize(0) ?? windowSize(1) ?? DEFAULT_SIZE
    : undefined;

  const start = (terminal?: number): Promise<Streams> => {
    theirs.splice(0).forEach(close);
    return begin({ choice, typed, piped, ours, fed }, terminal);
  };
  return {
    streams: [input, output, errors],
    size,
    start,
    abandon: () => [...ours.values(), ...theirs, fed].forEach(close),
  };
}
