/**
 * Delays and polling.
 *
 * @module
 */

/** Resolves after `milliseconds`, or as soon as `signal` is aborted. */
export async function sleep(milliseconds = 0, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const wake = (): void => resolve();
  const timer = setTimeout(wake, milliseconds);
  signal?.addEventListener("abort", wake);
  await promise;
  clearTimeout(timer);
  signal?.removeEventListener("abort", wake);
}

/**
 * Calls `poll` every `interval` milliseconds until its result is truthy or `timeout` milliseconds have passed. Returns the
 * last result.
 */
export async function waitUntil<T>(
  poll: () => T | Promise<T>,
  { timeout = Infinity, interval = 5 }: { timeout?: number; interval?: number } = {},
): Promise<T> {
  const deadline = performance.now() + timeout;
  for (;;) {
    const result = await poll();
    if (result || performance.now() >= deadline) return result;
    await sleep(interval);
  }
}
