/**
 * Turns of the event loop during long work, so that signals and timers are handled meanwhile.
 *
 * @module
 */

/** Longest time without a turn for signals, timers and other work, in milliseconds. */
const BREATH_MS = 20;

/**
 * Returns a function for long work to call again and again: now and then it gives the thread's other work a turn, and throws
 * the reason of `signal` if that has been aborted.
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
