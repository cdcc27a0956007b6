/**
 * Threads of this package, and what they tell each other.
 *
 * @module
 */

import { ImageError, messageOf } from "../errors.ts";

/** A thread that runs. */
export interface Thread {
  /** The way to it and back. */
  readonly port: MessagePort;
  /** Settles when the thread fails in a way that it cannot tell itself. */
  readonly failure: Promise<Error>;
  /** Ends it, wherever it is. */
  end(): void;
}

/** An error as it travels: its class is lost on the way otherwise. */
export interface SentError {
  /** Its message. */
  message: string;
  /** The code of an {@linkcode ImageError}; none if it is no such error. */
  code?: string;
  /** Its hint. */
  hint?: string;
  /** Its facts. */
  facts?: Readonly<Record<string, unknown>>;
}

/** Makes an error ready to be sent. */
export function packError(error: unknown): SentError {
  if (!(error instanceof ImageError)) return { message: messageOf(error) };
  const { message, code, hint, facts } = error;
  return { message, code, hint, facts };
}

/** Makes an error of what was received. */
export function unpackError({ message, code, ...rest }: SentError): Error {
  return code === undefined ? new Error(message) : new ImageError(message, { code, ...rest });
}

/** Starts a module as a thread. Undefined if there can be none, as without the permission to read it. */
export async function startThread(module: URL): Promise<Thread | undefined> {
  let worker: Worker;
  try {
    worker = new Worker(module, { type: "module" });
  } catch {
    return undefined;
  }
  const { port1: port, port2 } = new MessageChannel();
  const failure = Promise.withResolvers<Error>(), started = Promise.withResolvers<boolean>();
  const end = (): void => {
    port.close();
    worker.terminate();
  };
  worker.addEventListener("error", (event) => {
    event.preventDefault();
    started.resolve(false);
    failure.resolve(new Error(`the thread ${module} failed: ${event.message}`));
  });
  port.addEventListener("message", () => started.resolve(true), { once: true });
  port.start();
  worker.postMessage("start", [port2]);
  if (await started.promise) return { port, failure: failure.promise, end };
  end();
}

/** Starts serving in a thread's module: `serve` sets the handlers of its port. */
export function serveThread(serve: (port: MessagePort) => void): void {
  const start = (event: Event): void => {
    const [port] = event instanceof MessageEvent ? event.ports : [];
    if (!port) return;
    serve(port);
    port.start();
    port.postMessage("started");
  };
  globalThis.addEventListener("message", start, { once: true });
}
