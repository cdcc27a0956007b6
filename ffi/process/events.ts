/**
 * One source of events for the whole process: a single blocked `epoll_pwait` on a pool thread, whatever the number of
 * descriptors waited for. While anything is waited for, the process stays alive.
 *
 * @module
 */

import { SystemError } from "../fs/fs.ts";
import { shim } from "../native.ts";

/** What a descriptor can be ready for. */
export type Readiness = "in" | "out";

const EPOLL_CLOEXEC = 0x80000, ADD = 1, DELETE = 2, MODIFY = 3;
const BITS: Readonly<Record<Readiness, number>> = { in: 1, out: 4 };
const ERROR_OR_HANGUP = 8 | 16, ONESHOT = 1 << 30;
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
  control(ADD, wakeUp, BITS.in);
}

function arm(fd: number): void {
  const wanted = waiting.get(fd);
  const bits = ONESHOT | (wanted?.in ? BITS.in : 0) | (wanted?.out ? BITS.out : 0);
  const result = control(known.has(fd) ? MODIFY : ADD, fd, bits);
  if (result < 0) throw new SystemError("epoll_ctl", `descriptor ${fd}`, -result);
  known.add(fd);
}

function settle(fd: number, bits: number): void {
  const entry = waiting.get(fd);
  if (!entry) return;
  for (const readiness of ["in", "out"] as const) {
    if (!(bits & (BITS[readiness] | ERROR_OR_HANGUP))) continue;
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
      else settle(fd, view.getUint32(i * EVENT_SIZE, true));
    }
  }
  running = false;
}

/**
 * Resolves when `fd` is ready, has an error or its other end is gone; also when {@linkcode forget} is called for it.
 * Throws {@linkcode SystemError} if `fd` cannot be waited for, as with regular files.
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

/** Ends all waiting for `fd`; call it before closing a descriptor that was waited for. */
export function forget(fd: number): void {
  const entry = waiting.get(fd);
  waiting.delete(fd);
  if (known.delete(fd)) control(DELETE, fd, 0);
  entry?.in?.resolve();
  entry?.out?.resolve();
  if (waiting.size > 0 || !running) return;
  const one = new Uint8Array(8);
  one[0] = 1;
  shim.ib("write", wakeUp, one, 8);
}
