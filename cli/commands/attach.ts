/**
 * `sauropod attach`, and `sauropod start --attach`: this terminal and a detached container.
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

/** Gives the container this terminal's size, now and when it changes; returns what ends that. */
function followSize(resize: NonNullable<AttachedContainer["resize"]>): () => void {
  const update = (): void => resize(Deno.consoleSize());
  Deno.addSignalListener("SIGWINCH", update);
  update();
  return () => Deno.removeSignalListener("SIGWINCH", update);
}

/**
 * Passes on what is typed or read until either ends, or the user disconnects. Returns what sets the terminal right
 * again.
 */
async function passInput(
  { input, resize }: AttachedContainer,
  { keys, disconnected }: Session,
): Promise<() => Promise<void>> {
  // When the container ends first, nobody is there to read the rest.
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

/** What all parts of a connection must know. */
interface Session {
  readonly container: string;
  readonly folders: Folders;
  readonly flags: AttachFlags;
  /** The keys that disconnect. */
  readonly keys: readonly number[];
  /** Aborted when they have been typed. */
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

/** The input of a container that has just been started, which may have ended already. */
async function inputOfStarted(container: string, folders: FolderOptions = {}): Promise<AttachedContainer> {
  try {
    return await attachInput(container, folders);
  } catch (error) {
    const over = ["container-not-running", "container-not-found"];
    if (error instanceof ContainerError && over.includes(error.code)) return { [Symbol.dispose]() {} };
    throw error;
  }
}

/** Connects until the container has ended, or the user disconnects. Returns the exit code. */
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
    printError("\nsauropod: disconnected; the container goes on");
    return 0;
  }
  return await end().catch((error) => {
    if (error instanceof ContainerError) return 0;
    throw error;
  });
}

function follow({ container, folders, disconnected }: Session, begun?: () => boolean): Promise<void> {
  const output = followOutput(container, printBytes, {
    ...folders,
    signal: disconnected.signal,
    ...(begun ? { begun } : {}),
    onLoss: () => printError("sauropod: output is missing here: it came faster than it could be shown"),
  });
  // It is awaited when we are connected; until then an error must not count as unhandled.
  output.catch(() => {});
  return output;
}

/** Connects with a running container; returns its exit code. */
export async function attach(flags: AttachFlags, container: string): Promise<number> {
  const session = sessionOf(container, flags);
  const end = watchEnd(container, session.folders);
  return await connect(session, follow(session), end, () => attachInput(container, session.folders));
}

/** Starts a container and connects with it; returns its exit code. */
export async function startAttached(container: string, flags: AttachFlags): Promise<number> {
  const session = sessionOf(container, flags);
  const inputs: number[] = [];
  let begun = false;
  const end = watchEnd(container, session.folders), output = follow(session, () => begun);
  const takeInput = (fd: number): void => void inputs.push(fd);
  await start(container, { ...session.folders, ...(flags.noStdin ? {} : { takeInput }) });
  begun = true;
  const [input] = inputs;
  return await connect(
    session,
    output,
    end,
    () => input === undefined ? inputOfStarted(container, session.folders) : attachOwn(input),
  );
}
