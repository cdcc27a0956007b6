/**
 * The command's standard streams: pipes, inherited descriptors, or a terminal of the container's own.
 *
 * @module
 */

import { forget, ready } from "../../ffi/events.ts";
import { flags } from "../../ffi/flags.ts";
import { AT_FDCWD, close, openAt, readNow, writeNow } from "../../ffi/fs.ts";
import { isTerminal, pipe, resizeTerminal, setNonblocking, windowSize } from "../../ffi/process.ts";
import { lazy } from "../lazy.ts";
import type { Stream, TerminalSize } from "../program/wiring.ts";
import type { StreamOption } from "./options.ts";

/** What a user asks of the streams. */
export interface StreamOptions {
  /** Standard input. Default: `null`. */
  stdin?: StreamOption;
  /** Standard output. Default: `inherit`. */
  stdout?: StreamOption;
  /** Standard error. Default: `inherit`. */
  stderr?: StreamOption;
  /**
   * Give the command a terminal of its own; with piped streams, of this size. Default: when standard input is
   * inherited and is a terminal.
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
  /** Resolves when all that the command wrote to inherited streams has arrived. */
  readonly drained: Promise<void>;
  /** Closes what nobody closed. */
  close(): void;
}

const CHUNK = 65536;
const DEFAULT_SIZE: TerminalSize = { columns: 80, rows: 24 };
// What a terminal answers when the last process that had it open is gone.
const EIO = 5;

function isHangup(error: unknown): boolean {
  return error instanceof Error && "errno" in error && error.errno === EIO;
}

async function readSome(fd: number, buffer: Uint8Array<ArrayBuffer>): Promise<number> {
  for (;;) {
    try {
      const n = readNow(fd, buffer);
      if (n >= 0) return n;
    } catch (error) {
      if (isHangup(error)) return 0;
      throw error;
    }
    await ready(fd, "in");
  }
}

async function writeAllTo(fd: number, bytes: Uint8Array): Promise<void> {
  let rest = new Uint8Array(bytes);
  while (rest.length > 0) {
    const n = writeNow(fd, rest);
    if (n < 0) await ready(fd, "out");
    else rest = rest.subarray(n);
  }
}

function closer(fd: number): () => void {
  let open = true;
  return () => {
    if (!open) return;
    open = false;
    forget(fd);
    close(fd);
  };
}

function readable(fd: number, done: () => void): ReadableStream<Uint8Array<ArrayBuffer>> {
  return new ReadableStream({
    async pull(controller): Promise<void> {
      const buffer = new Uint8Array(CHUNK);
      const n = await readSome(fd, buffer);
      if (n > 0) return controller.enqueue(buffer.subarray(0, n));
      done();
      controller.close();
    },
    cancel: done,
  }, { highWaterMark: 0 });
}

function writable(fd: number, done: () => void): WritableStream<Uint8Array> {
  return new WritableStream({ write: (bytes) => writeAllTo(fd, bytes), close: done, abort: done });
}

/** Copies what the container writes to a descriptor of ours that it must not have itself. */
async function relay(from: number, to: number, done: () => void): Promise<void> {
  const out = to === 1 ? Deno.stdout : Deno.stderr;
  const buffer = new Uint8Array(CHUNK);
  for (let n; (n = await readSome(from, buffer)) > 0;) {
    for (let rest = buffer.subarray(0, n); rest.length > 0;) rest = rest.subarray(out.writeSync(rest));
  }
  done();
}

/** Decides what each stream is and makes the pipes for it. */
export function connect(options: StreamOptions): Connection {
  const choice = [options.stdin ?? "null", options.stdout ?? "inherit", options.stderr ?? "inherit"] as const;
  const typed = choice.map((option, fd) => option === "inherit" && isTerminal(fd));
  const wanted = options.terminal ?? typed[0] ?? false;
  const piped = choice[0] !== "inherit" && choice[1] !== "inherit";
  const ours = new Map<number, number>();
  const theirs: number[] = [];

  const stream = (fd: 0 | 1 | 2): Stream => {
    const option = choice[fd];
    const onTerminal = wanted && (option === "inherit" ? typed[fd] || fd === 0 : option === "piped");
    if (onTerminal) return "terminal";
    if (option === "inherit" && !typed[fd]) return { fd, owned: false };
    if (option === "null") {
      const none = openAt(AT_FDCWD, "/dev/null", flags("O", "RDWR"));
      theirs.push(none);
      return { fd: none, owned: false };
    }
    const [read, write] = pipe();
    const [own, other] = fd === 0 ? [write, read] : [read, write];
    setNonblocking(own);
    ours.set(fd, own);
    theirs.push(other);
    return { fd: other, owned: true };
  };
  const streams: Connection["streams"] = [stream(0), stream(1), stream(2)];
  const size = typeof wanted === "object"
    ? wanted
    : wanted
    ? windowSize(0) ?? windowSize(1) ?? DEFAULT_SIZE
    : undefined;

  const start = async (terminal?: number): Promise<Streams> => {
    theirs.forEach(close);
    const drained: Promise<unknown>[] = [];
    const closers: (() => void)[] = [];
    const open = (fd: number): () => void => {
      const done = closer(fd);
      closers.push(done);
      return done;
    };
    const source = (fd: 1 | 2): ReadableStream<Uint8Array<ArrayBuffer>> | undefined => {
      const own = ours.get(fd);
      if (own === undefined) return undefined;
      if (choice[fd] === "piped") return readable(own, open(own));
      drained.push(relay(own, fd, open(own)));
      return undefined;
    };
    const own = ours.get(0);
    let stdin = own === undefined ? undefined : writable(own, open(own));
    let stdout = source(1);
    const stderr = source(2);
    let resize: Streams["resize"];
    if (terminal !== undefined) {
      setNonblocking(terminal);
      if (piped) {
        const done = open(terminal);
        stdin = choice[0] === "piped" ? writable(terminal, () => {}) : stdin;
        stdout = readable(terminal, done);
        resize = ({ columns, rows }) => resizeTerminal(terminal, columns, rows);
      } else {
        open(terminal);
        const { pump } = await lazy.pump();
        drained.push(pump(terminal, 0, [1, 2, 0].find((fd) => typed[fd]) ?? 1));
      }
    }
    return {
      stdin,
      stdout,
      stderr,
      resize,
      drained: Promise.all(drained).then(() => {}),
      close: () => closers.forEach((done) => done()),
    };
  };
  return { streams, size, start, abandon: () => [...ours.values(), ...theirs].forEach(close) };
}
