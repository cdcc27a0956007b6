/** Longest time in milliseconds that a task may block signals, timers and other tasks. */
const BREATH_MS = 20;

/**
 * Returns a function that long-running work calls repeatedly: it yields to the event loop now and then, so that signals
 * are handled, and throws the abort reason of `signal`.
 */
export function breather(signal?: AbortSignal): () => Promise<void> | undefined {
  let since = performance.now();
  const pause = async (): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve));
    signal?.throwIfAborted();
    since = performance.now();
  };
  return () => performance.now() - since < BREATH_MS ? undefined : pause();
}
