/**
 * Standard streams of a command: pipes, inherited descriptors, or a terminal of the container.
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

/** Options of the standard streams. */
export interface StreamOptions {
  /** Standard input. Default: `null`. */
  stdin?: StreamOption;
  /** Standard output. Default: `inherit`. */
  stdout?: StreamOption;
  /** Standard error. Default: `inherit`. */
  stderr?: StreamOption;
  /**
   * Allocate a terminal for all streams; with piped streams, of this size. Default: if standard input is inherited and a
   * terminal, for those streams that are terminals.
   */
  terminal?: boolean | TerminalSize;
}

/** Both ends of the streams of a container that is about to start. */
export interface Connection {
  /** The ends of the container's process. */
  readonly streams: readonly [Stream, Stream, Stream];
  /** The size of the container's terminal. Default: it gets none. */
  readonly size?: TerminalSize;
  /** Connects the caller's ends once the container runs; `terminal` is the master end of its terminal. */
  start(terminal?: number): Promise<Streams>;
  /** Closes all ends, if the container did not start. */
  abandon(): void;
}

/** The caller's ends of a running container's streams. */
export interface Streams {
  /** Standard input. Default: not piped. */
  readonly stdin?: WritableStream<Uint8Array>;
  /** Standard output. Default: not piped. */
  readonly stdout?: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Standard error. Default: not piped, or part of the output of a terminal. */
  readonly stderr?: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Sets the size of the container's terminal, unless it follows the user's. */
  resize?(size: TerminalSize): void;
  /**
   * Resolves when all output to inherited streams has arrived; call it after the exit. Other processes that hold the
   * pipes may write for `grace` milliseconds more. Default: no limit.
   */
  readonly drain: (grace?: number) => Promise<void>;
  /** Closes all streams that are still open. */
  close(): void;
}

const DEFAULT_SIZE: TerminalSize = { columns: 80, rows: 24 };

function refuse(message: string, hint: string): never {
  throw new InputError(message, { code: "bad-streams", hint });
}

/** Returns whether the command can open all inherited streams by name: root can, except sockets. */
function opensAll(inherited: readonly number[], { identity, capabilities }: ProcessSpec): boolean {
  return identity.uid === 0 && capabilities.includes("DAC_OVERRIDE") && !inherited.some((fd) => fd > 0 && isSocket(fd));
}

/** Resolved stream options, and the caller's ends of the pipes. */
interface ResolvedStreams {
  readonly choice: readonly [StreamOption, StreamOption, StreamOption];
  /** Which are terminals of the user. */
  readonly typed: readonly boolean[];
  /** Whether neither standard input nor output is inherited. */
  readonly piped: boolean;
  /** The caller's ends, by descriptors of the command. */
  readonly callerEnds: ReadonlyMap<number, number>;
  /** The command's end of the pipe that is fed from a file as standard input; -1 if there is none. */
  readonly fed: number;
}

/** Connects the caller's ends; `terminal` is the master end of the container's terminal. */
async function begin({ choice, typed, piped, callerEnds, fed }: ResolvedStreams, terminal?: number): Promise<Streams> {
  const handles = new Map([...callerEnds].map(([fd, own]) => [fd, handle(own)]));
  const drained: Promise<unknown>[] = [], relayed: Handle[] = [];
  const source = (fd: 1 | 2): ReadableStream<Uint8Array<ArrayBuffer>> | undefined => {
    const own = handles.get(fd);
    if (own && choice[fd] === "piped") return readable(own);
    if (!own) return;
    relayed.push(own);
    drained.push(relay(own, fd));
  };
  const screen = terminal === undefined ? undefined : handle(terminal);
  if (screen) handles.set(-1, screen);
  // First, since it can fail: the caller closes all ends then, and no copy may be under way.
  if (screen && !piped) {
    const { pump } = await lazy.pump();
    drained.push(pump(screen.fd, 0, [1, 2, 0].find((fd) => typed[fd]) ?? 1));
  }
  const stdin = handles.get(0);
  const stop = stdin && fed >= 0 ? (await lazy.streamAccess()).feed(0, stdin, fed) : undefined;
  const plain = {
    stdin: stdin && choice[0] === "piped" ? writable(stdin) : undefined,
    stdout: source(1),
    stderr: source(2),
  };
  const all = Promise.all(drained).then(() => {});
  // Awaited after the exit; until then a rejection must not count as unhandled.
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
 * Resolves the streams of `process` and creates their pipes.
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
      "cannot give the user's terminal to the container as standard input",
      "omit --tty=false, or redirect standard input",
    );
  }
  if (wanted && !piped && choice.includes("piped")) {
    refuse("piped and inherited streams cannot be combined with a terminal", "pipe all streams, or inherit all");
  }
  if (choice[0] === "inherit" && isFolder(0)) {
    refuse("cannot use a directory as standard input", "redirect it from a file or /dev/null");
  }
  const inherited = [0, 1, 2].filter((fd) => choice[fd] === "inherit" && !typed[fd]);
  const access = opensAll(inherited, process)
    ? undefined
    : (await lazy.streamAccess()).chooseAccess(inherited, process);
  const callerEnds = new Map<number, number>();
  const commandEnds: number[] = [];
  let fed = -1;

  const stream = (fd: 0 | 1 | 2): Stream => {
    const option = choice[fd];
    // With the terminal option it takes all streams; by default redirected ones keep their file.
    const onTerminal = wanted && option !== "null" && (option === "piped" || options.terminal || typed[fd]);
    if (onTerminal) return "terminal";
    const how = access?.get(fd) ?? "given";
    if (option === "inherit" && !typed[fd] && how !== "relayed") {
      return typeof how === "object" ? { fd, ...how } : { fd };
    }
    if (option === "null") {
      const none = openAt(AT_FDCWD, "/dev/null", flags("O", "RDWR"));
      commandEnds.push(none);
      return { fd: none };
    }
    const [read, write] = pipe();
    const [own, other] = fd === 0 ? [write, read] : [read, write];
    callerEnds.set(fd, own);
    if (fd === 0 && option === "inherit") fed = other;
    else commandEnds.push(other);
    return { fd: other, mode: OWN_PIPE };
  };
  const input = stream(0), output = stream(1), errors = access?.get(2) === "as-output" ? output : stream(2);
  const size = typeof wanted === "object"
    ? wanted
    : wanted
    ? windowSize(0) ?? windowSize(1) ?? DEFAULT_SIZE
    : undefined;

  const start = (terminal?: number): Promise<Streams> => {
    commandEnds.splice(0).forEach(close);
    return begin({ choice, typed, piped, callerEnds, fed }, terminal);
  };
  return {
    streams: [input, output, errors],
    size,
    start,
    abandon: () => [...callerEnds.values(), ...commandEnds, fed].forEach(close),
  };
}
