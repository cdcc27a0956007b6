/**
 * Event loop for descriptors (epoll(7)): one blocked `epoll_pwait` in a pool thread serves the whole process. The process
 * stays alive while a descriptor is waited for.
 *
 * @module
 */

import { check } from "../fs/fs.ts";
import { shim } from "../native.ts";

/** The operation that does not block: `in` is reading, `out` writing. */
export type Readiness = "in" | "out";

const EPOLL_CLOEXEC = 0x80000, EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2, EPOLL_CTL_MOD = 3;
/** `EPOLLIN` and `EPOLLOUT`. */
const BITS: Readonly<Record<Readiness, number>> = { in: 1, out: 4 };
const EPOLLERR = 8, EPOLLHUP = 16, EPOLLONESHOT = 1 << 30;
// struct epoll_event is packed on x86_64 only.
const EVENT_SIZE = Deno.build.arch === "x86_64" ? 12 : 16;
const DATA = EVENT_SIZE - 8;
const BATCH = 128;

type Waiting = Partial<Record<Readiness, PromiseWithResolvers<void>>>;

const waiting = new Map<number, Waiting>();
const known = new Set<number>();
const events = new Uint8Array(BATCH * EVENT_SIZE);
let epoll = -1;
let wakeUp = -1;
let running = false;

function control(operation: number, fd: number, bits: number): number {
  const event = new DataView(new ArrayBuffer(EVENT_SIZE));
  event.setUint32(0, bits, true);
  event.setUint32(DATA, fd, true);
  return shim.iiib("epoll_ctl", epoll, operation, fd, new Uint8Array(event.buffer));
}

function open(): void {
  epoll = shim.i("epoll_create1", EPOLL_CLOEXEC);
  wakeUp = shim.i("eventfd2", 0, EPOLL_CLOEXEC);
  control(EPOLL_CTL_ADD, wakeUp, BITS.in);
}

function arm(fd: number): void {
  const wanted = waiting.get(fd);
  const bits = EPOLLONESHOT | (wanted?.in ? BITS.in : 0) | (wanted?.out ? BITS.out : 0);
  check(control(known.has(fd) ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, bits), "epoll_ctl", fd);
  known.add(fd);
}

function resolveWaits(fd: number, bits: number): void {
  const entry = waiting.get(fd);
  if (!entry) return;
  for (const readiness of ["in", "out"] as const) {
    if (!(bits & (BITS[readiness] | EPOLLERR | EPOLLHUP))) continue;
    entry[readiness]?.resolve();
    delete entry[readiness];
  }
  if (entry.in || entry.out) arm(fd);
  else waiting.delete(fd);
}

async function run(): Promise<void> {
  running = true;
  while (waiting.size > 0) {
    const count = await shim.wait("epoll_pwait", epoll, events, BATCH, -1, 0);
    const view = new DataView(events.buffer);
    for (let i = 0; i < count; i++) {
      const fd = view.getUint32(i * EVENT_SIZE + DATA, true);
      if (fd === wakeUp) shim.ib("read", wakeUp, new Uint8Array(8), 8);
      else resolveWaits(fd, view.getUint32(i * EVENT_SIZE, true));
    }
  }
  running = false;
}

/**
 * Waits until `fd` is ready, has an error or is hung up, or until {@linkcode forget} is called for it.
 * Throws {@linkcode SystemError} if it cannot be polled, such as a regular file.
 */
export function ready(fd: number, readiness: Readiness): Promise<void> {
  if (epoll < 0) open();
  const entry = waiting.get(fd) ?? {};
  const promise = entry[readiness] ?? Promise.withResolvers<void>();
  entry[readiness] = promise;
  waiting.set(fd, entry);
  try {
    arm(fd);
  } catch (error) {
    waiting.delete(fd);
    throw error;
  }
  if (!running) run();
  return promise.promise;
}

/** Ends all waits for `fd`; must be called before a descriptor that was waited for is closed. */
export function forget(fd: number): void {
  const entry = waiting.get(fd);
  waiting.delete(fd);
  if (known.delete(fd)) control(EPOLL_CTL_DEL, fd, 0);
  entry?.in?.resolve();
  entry?.out?.resolve();
  if (waiting.size > 0 || !running) return;
  const one = new Uint8Array(8);
  one[0] = 1;
  shim.ib("write", wakeUp, one, 8);
}
