/** How long something may take that leaves no turn to signals, timers and other work, in milliseconds. */
const BREATH_MS = 20;

/**
 * Makes what long work calls again and again: now and then it lets the thread's other work have its turn, such as the
 * handling of a signal, and throws the reason of `signal` if that has been aborted.
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
