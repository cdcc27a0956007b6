/**
 * `sauropod attach` and `sauropod start --attach`: this terminal connected to a detached container.
 *
 * @module
 */

import { type AttachedContainer, attachInput, attachOwn, followOutput } from "../../lib/container/detached/attach.ts";
import { start } from "../../lib/container/detached/start.ts";
import { kill, watchEnd } from "../../lib/container/detached/stop.ts";
import { ContainerError } from "../../lib/errors.ts";
import { findFolders, type FolderOptions, type Folders } from "../../lib/host/folders.ts";
import { lazy } from "../../lib/lazy.ts";
import { DETACH_KEYS, parseDetachKeys, untilTyped } from "../terminal/detach_keys.ts";
import { passSignals } from "../terminal/signals.ts";
import { printBytes, printError } from "../output/output.ts";

/** The flags of `attach`. */
export interface AttachFlags extends FolderOptions {
  readonly noStdin?: boolean;
  readonly sigProxy?: boolean;
  readonly noSigProxy?: boolean;
  readonly detachKeys?: string;
}

/** Resizes the container's terminal with this one. Returns a function that stops it. */
function followSize(resize: NonNullable<AttachedContainer["resize"]>): () => void {
  const update = (): void => resize(Deno.consoleSize());
  Deno.addSignalListener("SIGWINCH", update);
  update();
  return () => Deno.removeSignalListener("SIGWINCH", update);
}

/**
 * Forwards input until either side ends, or the user detaches. Returns a function that restores the terminal.
 */
async function passInput(
  { input, resize }: AttachedContainer,
  { keys, disconnected }: Session,
): Promise<() => Promise<void>> {
  // An error means that the container has ended, and the rest of the input has no reader.
  const pass = (source: ReadableStream<Uint8Array>): void => void (input && source.pipeTo(input).catch(() => {}));
  const stop = untilTyped(keys, () => disconnected.abort());
  if (!resize || !Deno.stdin.isTerminal()) {
    pass(resize ? Deno.stdin.readable.pipeThrough(stop) : Deno.stdin.readable);
    return () => Promise.resolve();
  }
  const { pumpTyped } = await lazy.pump();
  const typed = pumpTyped(0, 1), forget = followSize(resize);
  pass(typed.bytes.pipeThrough(stop));
  return () => {
    forget();
    return typed.close();
  };
}

/** Options and state of a connection. */
interface Session {
  readonly container: string;
  readonly folders: Folders;
  readonly flags: AttachFlags;
  /** The detach keys. */
  readonly keys: readonly number[];
  /** Aborted when they are typed. */
  readonly disconnected: AbortController;
}

function sessionOf(container: string, flags: AttachFlags): Session {
  const keys = parseDetachKeys(flags.detachKeys ?? DETACH_KEYS);
  return { container, folders: findFolders(flags), flags, keys, disconnected: new AbortController() };
}

function passSignalsTo({ container, folders }: Session): void {
  const pass = (signal: Deno.Signal): boolean => {
    kill(container, signal, folders).catch(() => {});
    return true;
  };
  passSignals().connect({ kill: pass });
}

/** Opens the input of a container that was just started, and may have ended. */
async function inputOfStarted(container: string, folders: FolderOptions = {}): Promise<AttachedContainer> {
  try {
    return await attachInput(container, folders);
  } catch (error) {
    const over = ["container-not-running", "container-not-found"];
    if (error instanceof ContainerError && over.includes(error.code)) return { [Symbol.dispose]() {} };
    throw error;
  }
}

/** Stays connected until the container ends, or the user detaches. Returns the exit status. */
async function connect(
  session: Session,
  output: Promise<void>,
  end: () => Promise<number>,
  open: () => AttachedContainer | Promise<AttachedContainer>,
): Promise<number> {
  const { flags, disconnected } = session;
  using connection = await open();
  const restore = flags.noStdin ? undefined : await passInput(connection, session);
  try {
    if ((flags.sigProxy ?? true) && !flags.noSigProxy && !connection.resize) passSignalsTo(session);
    await output;
  } finally {
    await restore?.();
  }
  if (disconnected.signal.aborted) {
    printError("\nsauropod: detached; the container is still running");
    return 0;
  }
  return await end().catch((error) => {
    if (error instanceof ContainerError) return 0;
    throw error;
  });
}

function follow({ container, folders, disconnected }: Session, started?: () => boolean): Promise<void> {
  const output = followOutput(container, printBytes, {
    ...folders,
    signal: disconnected.signal,
    ...(started ? { begun: started } : {}),
    onLoss: () => printError("sauropod: output is missing here: it came faster than it could be read"),
  });
  // Awaited once connected; an error before must not count as unhandled.
  output.catch(() => {});
  return output;
}

/** Attaches to a running container. Returns its exit status. */
export async function attach(flags: AttachFlags, container: string): Promise<number> {
  const session = sessionOf(container, flags);
  const end = watchEnd(container, session.folders);
  return await connect(session, follow(session), end, () => attachInput(container, session.folders));
}

/** Starts a container and attaches to it. Returns its exit status. */
export async function startAttached(container: string, flags: AttachFlags): Promise<number> {
  const session = sessionOf(container, flags);
  const inputs: number[] = [];
  let started = false;
  const end = watchEnd(container, session.folders), output = follow(session, () => started);
  const takeInput = (fd: number): void => void inputs.push(fd);
  await start(container, { ...session.folders, ...(flags.noStdin ? {} : { takeInput }) });
  started = true;
  const [input] = inputs;
  return await connect(
    session,
    output,
    end,
    () => input === undefined ? inputOfStarted(container, session.folders) : attachOwn(input),
  );
}
