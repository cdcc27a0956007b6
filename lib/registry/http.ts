/**
 * Requests that end: redirects that take no credentials along, and a watch over connections that no longer get on.
 *
 * @module
 */

import { clientFor } from "./certificates.ts";
import { failure, type Task, unreachable } from "./failure.ts";

/** Ends what does not get on. */
export interface Watch extends Disposable {
  /** Aborted when nothing gets on, or by the caller's signal. */
  readonly signal: AbortSignal;
  /** To be called when something has come or gone. */
  progress(bytes: number): void;
  /** To be called when an answer begins, for which there is no measure. */
  answered(): void;
}

/** Request. */
export interface Ask {
  /** Default: GET. */
  method?: string;
  /** URL. */
  url: URL;
  /** Headers, without Authorization. */
  headers?: Readonly<Record<string, string>>;
  /** The Authorization header, for the host of `url` only. */
  authorization?: string;
  /** Body. */
  body?: BodyInit;
}

/** An answer. */
export interface Answer {
  /** The answer itself. */
  response: Response;
  /** Whether it is from another host than the one that was asked. */
  foreign: boolean;
}

const MAX_REDIRECTS = 5;
// Less than this is a connection that is kept open to no purpose.
const LEAST_PROGRESS = 1024, LEAST_PER_SECOND = 1024;

/** How something is watched over. */
export interface WatchOptions {
  /** In how many milliseconds it has to be done. Default: there is no end. */
  readonly within?: number;
  /** Ends it. */
  readonly signal?: AbortSignal;
}

/** Watches over something that has to move at least 1 KiB, and 1 KiB for each second, in every `idle` milliseconds. */
export function watchIdle(idle: number, { within, signal }: WatchOptions = {}): Watch {
  const controller = new AbortController(), least = Math.max(LEAST_PROGRESS, idle / 1000 * LEAST_PER_SECOND);
  const giveUp = (why: string): void => controller.abort(new DOMException(why, "TimeoutError"));
  let moved = 0;
  const timer = setInterval(() => {
    if (moved < least) giveUp(`only ${moved} bytes came within ${idle / 1000} s`);
    moved = 0;
  }, idle);
  const end = within === undefined
    ? undefined
    : setTimeout(() => giveUp(`it was not there within ${within / 1000} s`), within);
  return {
    signal: signal ? AbortSignal.any([signal, controller.signal]) : controller.signal,
    progress(bytes) {
      moved += bytes;
    },
    answered() {
      moved += least;
    },
    [Symbol.dispose]() {
      clearInterval(timer);
      clearTimeout(end);
      // Connections that are still open for this are closed.
      controller.abort();
    },
  };
}

function nextUrl(response: Response, from: URL, task: Task): URL {
  const location = response.headers.get("location");
  const next = location === null ? null : URL.parse(location, from);
  if (next === null) {
    throw failure(task, "registry-error", `the registry answers ${response.status} without saying where`);
  }
  return checkedTarget(next, from, task);
}

/** Checks a redirect or upload location: never from TLS to plain HTTP, and no other scheme. */
export function checkedTarget(next: URL, from: URL, task: Task): URL {
  if (next.protocol === "https:" || next.protocol === "http:" && from.protocol === "http:") return next;
  throw failure(task, "registry-refused", `it is sent on to ${next.protocol}//${next.host}, which is not secure`, {
    hint: "this is a mistake of the registry, or of somebody in between",
  });
}

/**
 * Asks, and follows redirects of what is only read. Only the host that is asked first gets the Authorization header.
 * It ends with `watch`; the caller's own reason to abort is thrown as it is.
 *
 * @throws {ImageError} `registry-unreachable`, `registry-error`, `registry-refused`.
 * @throws {InputError} `bad-certificates`.
 */
export async function send(ask: Ask, task: Task, watch: Watch): Promise<Answer> {
  const { method = "GET", headers, authorization, body } = ask;
  let { url } = ask;
  for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
    const foreign = url.origin !== ask.url.origin;
    const client = clientFor(url);
    let response: Response;
    try {
      response = await fetch(url, {
        method,
        ...(client ? { client } : {}),
        headers: {
          // Otherwise fetch decodes what is compressed, and no digest is right.
          "accept-encoding": "identity",
          "user-agent": "sauropod",
          ...headers,
          ...(authorization !== undefined && !foreign ? { authorization } : {}),
        },
        ...(body === undefined ? {} : { body }),
        redirect: "manual",
        signal: watch.signal,
      });
    } catch (error) {
      throw unreachable(foreign ? { ...task, host: url.host } : task, error);
    }
    watch.answered();
    const redirected = [301, 302, 303, 307, 308].includes(response.status);
    if (!redirected || method !== "GET" && method !== "HEAD") return { response, foreign };
    await response.body?.cancel();
    url = nextUrl(response, url, task);
  }
  throw failure(task, "registry-error", `it is sent on more than ${MAX_REDIRECTS} times`);
}
