/**
 * `sauropod attach`, and `sauropod start --attach`: this terminal and a detached container.
 *
 * @module
 */

import { type AttachedContainer, attachInput, followOutput } from "../lib/container/attach.ts";
import { start } from "../lib/container/start.ts";
import { kill, wait } from "../lib/container/stop.ts";
import { ContainerError } from "../lib/errors.ts";
import { findFolders, type FolderOptions, type Folders } from "../lib/folders.ts";
import type { Context } from "./context.ts";
import { forwardSignals } from "./signals.ts";
import { printBytes, say } from "./text.ts";

/** The flags of `attach`. */
export interface AttachFlags extends FolderOptions {
  /** Only show what the container writes. */
  readonly noStdin?: boolean;
  /** Keep signals to ourselves. */
  readonly noSigProxy?: boolean;
}

// Control-P, control-Q, as docker's.
const DETACH = [16, 17] as const;

/** Ends when the user types the keys that disconnect; they are not passed on. */
function untilDetached(disconnect: () => void): TransformStream<Uint8Array, Uint8Array> {
  let held = false;
  return new TransformStream({
    transform(bytes, controller): void {
      const passed: number[] = [];
      for (const byte of bytes) {
        if (held && byte === DETACH[1]) return disconnect();
        if (held) passed.push(DETACH[0]);
        held = byte === DETACH[0];
        if (!held) passed.push(byte);
      }
      if (passed.length > 0) controller.enqueue(Uint8Array.from(passed));
    },
  });
}

/** Gives the container this terminal's keys and size; returns what sets the terminal right again. */
function connectTerminal({ resize }: AttachedContainer): () => void {
  if (!resize || !Deno.stdin.isTerminal()) return () => {};
  const update = (): void => resize(Deno.consoleSize());
  Deno.stdin.setRaw(true);
  Deno.addSignalListener("SIGWINCH", update);
  update();
  return () => {
    Deno.removeSignalListener("SIGWINCH", update);
    Deno.stdin.setRaw(false);
  };
}

/** Passes on what is typed or read until either ends, or the user disconnects. */
function passInput(connection: AttachedContainer, disconnect: () => void): void {
  if (!connection.input) return;
  const source = connection.resize ? Deno.stdin.readable.pipeThrough(untilDetached(disconnect)) : Deno.stdin.readable;
  // When the container ends first, nobody is there to read the rest.
  source.pipeTo(connection.input).catch(() => {});
}

/** Connects until the container has ended, or the user disconnects. Returns the exit code. */
async function connect(
  container: string,
  folders: Folders,
  { noStdin, noSigProxy }: AttachFlags,
  output: Promise<void>,
  disconnected: AbortController,
): Promise<number> {
  using connection = await attachInput(container, folders);
  const restore = noStdin ? (): void => {} : connectTerminal(connection);
  try {
    if (!noSigProxy && !connection.resize) {
      const pass = (signal: Deno.Signal): boolean => {
        kill(container, signal, folders).catch(() => {});
        return true;
      };
      forwardSignals().connect({ kill: pass });
    }
    if (!noStdin) passInput(connection, () => disconnected.abort());
    await output;
  } finally {
    restore();
  }
  if (disconnected.signal.aborted) {
    say("\r\nsauropod: disconnected; the container goes on");
    return 0;
  }
  return await wait(container, folders).catch((error) => {
    if (error instanceof ContainerError) return 0;
    throw error;
  });
}

function follow(
  container: string,
  folders: Folders,
  signal: AbortSignal,
  begun?: () => boolean,
): Promise<void> {
  return followOutput(container, printBytes, {
    ...folders,
    signal,
    ...(begun ? { begun } : {}),
    onLoss: () => say("sauropod: output is missing here: it came faster than it could be shown"),
  });
}

/** Connects with a running container; ends with its exit code. */
export async function attach(this: Context, flags: AttachFlags, container: string): Promise<void> {
  const folders = findFolders(flags), disconnected = new AbortController();
  const output = follow(container, folders, disconnected.signal);
  // It is awaited below; until then an error must not count as unhandled.
  output.catch(() => {});
  this.process.exitCode = await connect(container, folders, flags, output, disconnected);
}

/** Starts a container and connects with it; returns its exit code. */
export async function startAttached(container: string, flags: AttachFlags): Promise<number> {
  const folders = findFolders(flags), disconnected = new AbortController();
  let begun = false;
  const output = follow(container, folders, disconnected.signal, () => begun);
  output.catch(() => {});
  await start(container, folders);
  begun = true;
  return await connect(container, folders, flags, output, disconnected);
}
